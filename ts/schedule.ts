/** What changes from step to step: the learning rate and the source of the positives. */

import type { FittedConfig } from './config.js'
import { native } from './native.js'

/** The learning rate of step `step` (0 for the first) of `steps`. */
export function learningRate(config: FittedConfig, step: number, steps: number): number {
  const { epochs, warmupEpochs, warmupStart, lr, lrEnd } = config
  const warmupSteps = Math.min(steps, Math.round((warmupEpochs / epochs) * steps))
  if (config.schedule === 'constant' && step >= warmupSteps) return lr
  return native.cosineWarmupSchedule(step, { maxSteps: steps, warmupSteps, warmupStart, lr, lrEnd })
}

/**
 * Where the positives of step `step` come from: the other view itself during the neighbour warm-up,
 * when the bank's neighbours are mostly of another class, and the bank from then on.
 */
export function positiveOf(
  { neighbours, neighbourWarmup }: FittedConfig,
  step: number,
  steps: number,
): 'bank' | 'view' | 'random' {
  if (neighbours === 'none' || step < neighbourWarmup * steps) return 'view'
  return neighbours
}
