/** A recorded run of two epochs, for tests of what is made of events. */

import { resolveConfig } from '../ts/config.js'
import type { NeighbourHealth, TrainEvent, TrainResult } from '../ts/events.js'
import { TrainRun } from '../ts/train/train-run.js'

const HEALTH: NeighbourHealth = {
  neighbourSimilarity: 0.83,
  viewSimilarity: 0.71,
  neighbourAgreement: 0.25,
  uniqueNeighbours: 0.71,
  selfNeighbourRate: 0.02,
  neighbourAge: 12,
  sameClassRate: 0.34,
  featureStd: 0.08,
  bankFilled: 1,
}

/** The result that the recorded run ends with. */
export const RESULT: TrainResult = {
  out: 'runs/first',
  checkpoint: 'runs/first/checkpoints/epoch-000002-step-00000004.safetensors',
  epochs: 2,
  steps: 4,
  loss: 2.5,
  knnTop1: 0.354,
  stopped: false,
  badImages: 0,
  exported: 'runs/first/backbone.safetensors',
  seconds: 75,
}

const step = (n: number, epoch: number, loss: number): TrainEvent => ({
  type: 'step',
  epoch,
  step: n,
  steps: 4,
  loss,
  lr: 0.06,
  imagesPerSecond: 812.4,
  dataWait: 0.02,
  communication: null,
  secondsLeft: 83,
  ...HEALTH,
})

const epoch = (n: number, loss: number): TrainEvent => ({
  type: 'epoch',
  epoch: n,
  epochs: 2,
  step: 2 * n,
  loss,
  seconds: 37,
  imagesPerSecond: 812.4,
  dataWait: 0.02,
  communication: null,
  ...HEALTH,
})

/** All its events. */
export function recordedEvents(result: TrainResult = RESULT): TrainEvent[] {
  return [
    {
      type: 'start',
      config: resolveConfig({ data: 'photos/', out: 'runs/first', epochs: 2 }),
      pictures: 3822,
      classes: ['cat', 'dog'],
      steps: 4,
      resumedAt: 0,
      ranks: 1,
      device: 'cpu',
      precision: 'fp32',
    },
    step(1, 1, 4),
    step(2, 1, 3),
    { type: 'warning', code: 'DATA', message: 'photos/a.png was skipped: truncated' },
    epoch(1, 3.5),
    step(3, 2, 2.75),
    step(4, 2, 2.25),
    epoch(2, 2.5),
    {
      type: 'evaluation',
      epoch: 2,
      step: 4,
      knnTop1: 0.354,
      references: 3000,
      queries: 822,
      k: 200,
      imageSize: 32,
    },
    { type: 'checkpoint', path: RESULT.checkpoint ?? '', epoch: 2, step: 4 },
    { type: 'end', result },
  ]
}

/** A run that tells these events and ends with their last one's result. */
export function recordedRun(events: readonly TrainEvent[] = recordedEvents()): TrainRun {
  return new TrainRun(async (emit) => {
    for (const event of events) emit(event)
    const end = events.at(-1)
    return end?.type === 'end' ? end.result : RESULT
  })
}
