/** One training at a time, in a process of its own. Knows nothing of windows. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { NnclrError, type TrainConfig, type TrainResult, type TrainRun, train } from 'nnclr'
import type { DesktopEvent, TrainingSettings } from './api.js'

const MOST_EPOCHS = 10_000

/**
 * The one place that decides where a training runs: within Electron in a utility process, within
 * Node in a child process. A crash there is an error here.
 */
export function startTraining(config: TrainConfig): TrainRun {
  return train(config, { isolate: true })
}

/** Whether there is something in a run directory to go on from. */
export function canResume(out: string): boolean {
  return existsSync(join(out, 'config.json'))
}

/** The training of the app. */
export class Training {
  #stop: AbortController | null = null
  #over: Promise<unknown> = Promise.resolve()

  /** Trains; failures are told as an event and resolve with null. */
  async run(
    settings: TrainingSettings & { readonly folder: string; readonly out: string },
    tell: (event: DesktopEvent) => void,
  ): Promise<TrainResult | null> {
    if (this.#stop !== null) throw new Error('a training is under way')
    const { epochs } = settings
    if (!Number.isSafeInteger(epochs) || epochs < 1 || epochs > MOST_EPOCHS) {
      throw new Error(`epochs: got ${epochs}, expected a whole number from 1 to ${MOST_EPOCHS}`)
    }
    this.#stop = new AbortController()
    const over = this.#follow(settings, this.#stop.signal, tell)
    this.#over = over
    try {
      return await over
    } finally {
      this.#stop = null
    }
  }

  /** Stops it after the step under way; resolves when its checkpoint is on the disk. */
  async stop(): Promise<void> {
    this.#stop?.abort()
    await this.#over
  }

  async #follow(
    settings: TrainingSettings & { readonly folder: string; readonly out: string },
    signal: AbortSignal,
    tell: (event: DesktopEvent) => void,
  ): Promise<TrainResult | null> {
    const { folder: data, out, epochs, resume } = settings
    const begin = { resume, overwrite: !resume }
    try {
      const run = startTraining({ data, out, epochs, ...begin, logEverySteps: 1, signal })
      for await (const event of run) tell(sendable(event))
      return await run
    } catch (error) {
      const code = error instanceof NnclrError ? error.code : 'ERROR'
      tell({
        type: 'failed',
        code,
        message: error instanceof Error ? error.message : String(error),
      })
      return null
    }
  }
}

/** A signal cannot be sent to a page, and the page has no use for it. */
function sendable(event: DesktopEvent): DesktopEvent {
  if (event.type !== 'start') return event
  return { ...event, config: { ...event.config, signal: null } }
}
