/** The learning rate from step to step. */

import type { FittedConfig } from './config.js'
import { native } from './native.js'

/** The learning rate of step `step` (0 for the first) of `steps`. */
export function learningRate(config: FittedConfig, step: number, steps: number): number {
  const { epochs, warmupEpochs, warmupStart, lr, lrEnd } = config
  const warmupSteps = Math.min(steps, Math.round((warmupEpochs / epochs) * steps))
  if (config.schedule === 'constant' && step >= warmupSteps) return lr
  return native.cosineWarmupSchedule(step, { maxSteps: steps, warmupSteps, warmupStart, lr, lrEnd })
}
