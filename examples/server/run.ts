/** One training with its log, in a process of its own. */

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { NnclrError, type TrainConfig, type TrainResult } from 'nnclr'
import { EventLog } from './event-log.js'
import { startTraining } from './start-training.js'
import type { ToldPaths } from './told-paths.js'

/** Where a run stands. */
export type RunState = 'running' | 'done' | 'stopped' | 'failed'

/** A run as clients see it; paths begin in the data folder, or with `runs/`. */
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

/** A configuration without what the server decides. */
export type AskedConfig = Omit<TrainConfig, 'out' | 'signal'>

/** What all runs of a server share. */
export interface RunOptions {
  /** Run directories are made here. */
  readonly folder: string
  /** Most resident memory of a training, MiB; null is no limit. */
  readonly memoryLimit: number | null
  readonly told: ToldPaths
}

/** One training. */
export class Run {
  readonly id: string = randomUUID()
  readonly started: string = new Date().toISOString()
  readonly log: EventLog
  readonly #told: ToldPaths
  readonly #stop: AbortController = new AbortController()
  /** Settles when the run is over; never rejects. */
  readonly over: Promise<void>
  #state: RunState = 'running'
  #step = 0
  #steps = 0
  #checkpoint: string | null = null
  #result: TrainResult | null = null
  #error: RunView['error'] = null

  constructor(config: AskedConfig, { folder, memoryLimit, told }: RunOptions) {
    this.log = new EventLog(told)
    this.#told = told
    const [out, { signal }] = [join(folder, this.id), this.#stop]
    this.over = this.#follow({ ...config, out, signal } as TrainConfig, memoryLimit)
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

  async #follow(config: TrainConfig, memoryLimit: number | null): Promise<void> {
    try {
      const run = startTraining(config, memoryLimit)
      for await (const event of run) {
        if (event.type === 'start') this.#steps = event.steps
        if (event.type === 'step' || event.type === 'epoch') this.#step = event.step
        if (event.type === 'checkpoint') this.#checkpoint = event.path
        this.log.append(event)
      }
      const result = await run
      this.#result = JSON.parse(this.#told.json(result)) as TrainResult
      this.#step = result.steps
      this.#state = result.stopped ? 'stopped' : 'done'
    } catch (error) {
      const code = error instanceof NnclrError ? error.code : 'ERROR'
      const message = this.#told.text(error instanceof Error ? error.message : String(error))
      this.#state = 'failed'
      this.#error = { code, message }
      this.log.append({ type: 'error', code, message })
    } finally {
      this.log.end()
    }
  }
}
