/** Settings that are each allowed and do not go together. */

import type { ConfigIssue } from '../errors.js'
import { show } from './check.js'
import type { Settings, StemName } from './settings.js'
import type { ResolvedConfig } from './train-config.js'

/** Pixels of the input that one pixel of the last feature map stands for. */
const TOTAL_STRIDE: Readonly<Record<StemName, number>> = { imagenet: 32, small: 16, cifar: 8 }

/**
 * Problems between fields. A setting that the chosen mode does not use is no contradiction, so that
 * sweeps may change one field; nor is a value that `preset` has itself, so that a run's config.json
 * can be given again.
 */
export function contradictions(config: ResolvedConfig, preset: Readonly<Settings>): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  const add = (field: string, value: unknown, expected: string): void => {
    issues.push({ field, value: show(value), expected })
  }
  if (config.resume && config.overwrite) {
    add('overwrite', true, 'false when resume is true: one goes on, the other starts anew')
  }
  if (config.lr !== 'auto' && config.baseLr !== preset.baseLr) {
    add('baseLr', config.baseLr, "no value beside lr, which is applied as it is (or lr: 'auto')")
  }
  if (config.warmupEpochs > config.epochs) {
    add('warmupEpochs', config.warmupEpochs, `at most epochs, ${config.epochs}`)
  }
  const peak = config.lr === 'auto' ? null : config.lr
  if (peak !== null && config.schedule === 'cosine' && config.lrEnd > peak) {
    add('lrEnd', config.lrEnd, `at most lr, ${peak}`)
  }
  if (peak !== null && config.warmupEpochs > 0 && config.warmupStart > peak) {
    add('warmupStart', config.warmupStart, `at most lr, ${peak}`)
  }
  if (config.nesterov && (config.optimizer !== 'sgd' || config.momentum === 0)) {
    add('nesterov', true, "false, or optimizer 'sgd' with a momentum above 0")
  }
  issues.push(...tooSmall(config))
  const { hue, jitterStrength } = config.transform
  if (hue * jitterStrength > 0.5) {
    add(
      'transform.hue',
      hue,
      `at most ${0.5 / jitterStrength}, so that hue * jitterStrength is at most 0.5`,
    )
  }
  return issues
}

/** Sides of pictures of which the network would leave nothing. */
function tooSmall({ stem, backbone, imageSize, evaluation }: ResolvedConfig): ConfigIssue[] {
  const stride = TOTAL_STRIDE[stem]
  const sides = { imageSize, 'evaluation.imageSize': evaluation.imageSize }
  const expected = `at least ${stride} for a ${backbone} with stem '${stem}'`
  return Object.entries(sides)
    .filter(([, side]) => side !== 'auto' && side < stride)
    .map(([field, side]) => ({ field, value: show(side), expected }))
}
