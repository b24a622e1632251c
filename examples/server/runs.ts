/** The trainings of this server: at most a few at a time, each with its log. */

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { NnclrError, type TrainConfig, type TrainResult } from 'nnclr'
import { EventLog } from './event-log.js'
import { Problem } from './problem.js'
import { startTraining } from './start-training.js'

/** Where a run stands. */
export type RunState = 'running' | 'done' | 'stopped' | 'failed'

/** A run as clients see it. */
export interface RunView {
  readonly id: string
  readonly state: RunState
  /** ISO 8601. */
  readonly started: string
  /** Finished steps and those of the whole run; 0 before it begins. */
  readonly step: number
  readonly steps: number
  readonly result: TrainResult | null
  readonly error: { readonly code: string; readonly message: string } | null
}

/** One training. */
class Run {
  readonly id: string = randomUUID()
  readonly started: string = new Date().toISOString()
  readonly log: EventLog = new EventLog()
  readonly #stop: AbortController = new AbortController()
  /** Settles when the run is over; never rejects. */
  readonly over: Promise<void>
  #state: RunState = 'running'
  #step = 0
  #steps = 0
  #checkpoint: string | null = null
  #result: TrainResult | null = null
  #error: RunView['error'] = null

  constructor(config: Omit<TrainConfig, 'out' | 'signal'>, folder: string) {
    const out = join(folder, this.id)
    this.over = this.#follow({ ...config, out, signal: this.#stop.signal } as TrainConfig)
  }

  get state(): RunState {
    return this.#state
  }

  /** The newest checkpoint; null before the first. */
  get checkpoint(): string | null {
    return this.#checkpoint
  }

  /** Asks for the end after the step under way, with a checkpoint. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.over
  }

  view(): RunView {
    const [state, step, steps] = [this.#state, this.#step, this.#steps]
    const { id, started } = this
    return { id, state, started, step, steps, result: this.#result, error: this.#error }
  }

  async #follow(config: TrainConfig): Promise<void> {
    try {
      const run = startTraining(config)
      for await (const event of run) {
        if (event.type === 'start') this.#steps = event.steps
        if (event.type === 'step' || event.type === 'epoch') this.#step = event.step
        if (event.type === 'checkpoint') this.#checkpoint = event.path
        this.log.append(event)
      }
      this.#result = await run
      this.#step = this.#result.steps
      this.#state = this.#result.stopped ? 'stopped' : 'done'
    } catch (error) {
      const code = error instanceof NnclrError ? error.code : 'ERROR'
      const message = error instanceof Error ? error.message : String(error)
      this.#state = 'failed'
      this.#error = { code, message }
      this.log.append({ type: 'error', code, message })
    } finally {
      this.log.end()
    }
  }
}

export type { Run }

/** All runs since the server started. */
export class Runs {
  readonly #folder: string
  readonly #maxRunning: number
  readonly #runs: Map<string, Run> = new Map()

  constructor(folder: string, maxRunning: number) {
    this.#folder = folder
    this.#maxRunning = maxRunning
  }

  /** @throws Problem 409 when enough are running */
  start(config: Omit<TrainConfig, 'out' | 'signal'>): Run {
    if (this.running >= this.#maxRunning) {
      const message = `${this.running} run is under way, which is all that may be: stop it or wait`
      throw new Problem(409, 'BUSY', message)
    }
    const run = new Run(config, this.#folder)
    this.#runs.set(run.id, run)
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

  /** Ends all with a checkpoint. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.stop()))
  }
}
