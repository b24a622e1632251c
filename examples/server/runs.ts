/** The trainings of this server: at most a few at a time. */

import { Problem } from './problem.js'
import { type AskedConfig, Run, type RunOptions, type RunView } from './run.js'

/** Runs that are over and still have their events; older ones have their state and result alone. */
const KEPT_LOGS = 20
/** Runs that are over and are known at all. */
const KEPT_RUNS = 1000

/** Options of `Runs`. */
export interface RunsOptions extends RunOptions {
  /** Runs that train at the same time. */
  readonly maxRunning: number
}

/** The runs since the server started. */
export class Runs {
  readonly #options: RunsOptions
  readonly #runs: Map<string, Run> = new Map()
  /** Those that are over, in the order of their ends. */
  #over: Run[] = []
  #isStopping = false

  constructor(options: RunsOptions) {
    this.#options = options
  }

  /** @throws Problem 409 when enough are running, 503 when the server stops */
  start(config: AskedConfig): Run {
    if (this.#isStopping) throw new Problem(503, 'STOPPING', 'the server is stopping')
    if (this.running >= this.#options.maxRunning) {
      const message = `${this.running} run is under way, which is all that may be: stop it or wait`
      throw new Problem(409, 'BUSY', message)
    }
    const run = new Run(config, this.#options)
    this.#runs.set(run.id, run)
    void run.over.then(() => this.#forgetBefore(run))
    return run
  }

  /** @throws Problem 404 */
  get(id: string): Run {
    const run = this.#runs.get(id)
    if (run === undefined) throw new Problem(404, 'NOT_FOUND', 'there is no run of this id')
    return run
  }

  list(): RunView[] {
    return [...this.#runs.values()].map((run) => run.view())
  }

  get running(): number {
    return [...this.#runs.values()].filter(({ state }) => state === 'running').length
  }

  /** Ends all with a checkpoint; none begins any more. */
  async stopAll(): Promise<void> {
    this.#isStopping = true
    await Promise.all([...this.#runs.values()].map((run) => run.stop()))
  }

  /** A run that has ended makes the oldest ones go. */
  #forgetBefore(run: Run): void {
    this.#over.push(run)
    for (const { id } of this.#over.slice(0, -KEPT_RUNS)) this.#runs.delete(id)
    this.#over = this.#over.slice(-KEPT_RUNS)
    for (const { log } of this.#over.slice(0, -KEPT_LOGS)) {
      if (!log.isForgotten) log.forget()
    }
  }
}
