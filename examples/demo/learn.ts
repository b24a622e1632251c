/** Training for a given time: a short trial says how many epochs fit, then comes the real run. */

import { join } from 'node:path'
import {
  type Embedded,
  embed,
  type TrainConfig,
  type TrainEvent,
  type TrainResult,
  train,
} from '../../ts/index.js'

/** Settings without what the demo decides for itself. */
export type LearnSettings = Omit<TrainConfig, 'out' | 'signal' | 'epochs'>

/** A run and what it told. */
export interface Learned {
  readonly result: TrainResult
  readonly events: readonly TrainEvent[]
}

/** Steps of the trial that are not counted: caches fill, threads start. */
const COLD_STEPS = 3
const TRIAL_SECONDS = 6
const MOST_EPOCHS = 500

/** The checkpoint of the network before its first step. */
export async function untrainedCheckpoint(
  settings: LearnSettings,
  scratch: string,
): Promise<string> {
  const out = join(scratch, 'untrained')
  // Told to stop before it starts, a run leaves the checkpoint that it would have started from.
  const { checkpoint } = await train({ ...settings, out, epochs: 1, signal: AbortSignal.abort() })
  if (checkpoint === null) throw new Error('the untrained network was not saved')
  return checkpoint
}

/** How many epochs fit into `seconds` on this machine. */
export async function epochsWithin(
  seconds: number,
  settings: LearnSettings,
  scratch: string,
  signal: AbortSignal,
): Promise<number> {
  const enough = new AbortController()
  const run = train({
    ...settings,
    out: join(scratch, 'trial'),
    epochs: MOST_EPOCHS,
    evaluation: { every: 0 },
    logEverySteps: 1,
    signal: AbortSignal.any([enough.signal, signal]),
  })
  let stepsPerEpoch = 1
  let warmAt = 0
  let secondsPerStep = Number.POSITIVE_INFINITY
  for await (const event of run) {
    if (event.type === 'start') stepsPerEpoch = event.steps / event.config.epochs
    if (event.type !== 'step') continue
    if (event.step <= COLD_STEPS) warmAt = performance.now()
    if (event.step <= COLD_STEPS) continue
    const spent = (performance.now() - warmAt) / 1000
    secondsPerStep = spent / (event.step - COLD_STEPS)
    if (spent > TRIAL_SECONDS) enough.abort()
  }
  await run
  return Math.min(MOST_EPOCHS, Math.max(1, Math.floor(seconds / (secondsPerStep * stepsPerEpoch))))
}

/** Trains, handing every event on. */
export async function learn(
  config: TrainConfig,
  tell: (event: TrainEvent) => void,
): Promise<Learned> {
  const events: TrainEvent[] = []
  const run = train(config)
  for await (const event of run) {
    events.push(event)
    tell(event)
  }
  return { result: await run, events }
}

/** Backbone features of every readable picture, brought to `imageSize` or the size at which the training compares. */
export async function rowsOf(
  data: TrainConfig['data'],
  checkpoint: string,
  imageSize?: number,
): Promise<Embedded> {
  return embed({ data, checkpoint, ...(imageSize === undefined ? {} : { imageSize }) })
}
