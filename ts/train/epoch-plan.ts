/** How an epoch is cut into steps, when each step is shared among ranks. */

import type { FittedConfig } from '../config.js'
import { NnclrError } from '../errors.js'
import { batches, epochOrder, pick, stepsPerEpoch } from '../sampler.js'
import type { Prepared } from './prepare.js'

/** The steps of an epoch. */
export interface EpochPlan {
  readonly steps: number
  /** Whether the last, smaller batch is left out. */
  readonly dropLast: boolean
  /** What a person should know. */
  readonly notes: readonly string[]
}

/** What decides it. */
type PlanSettings = Pick<FittedConfig, 'batchSize' | 'dropLast' | 'syncBatchNorm'>

/**
 * The same on every rank. A step gives each rank a picture, or two where each normalises its own: a last
 * batch that is too small for that is left out, with a note.
 *
 * @throws NnclrError CONFIG when no batch is large enough.
 */
export function planEpoch(config: PlanSettings, pictures: number, worldSize: number): EpochPlan {
  const { batchSize, dropLast } = config
  const last = pictures % batchSize
  // One process alone has been checked by `fitToSet`.
  const least = worldSize === 1 ? 0 : worldSize * (config.syncBatchNorm ? 1 : 2)
  if (batchSize < least) throw tooSmall(config, worldSize, least)
  if (dropLast || last === 0 || last >= least) {
    return { steps: stepsPerEpoch(pictures, batchSize, dropLast), dropLast, notes: [] }
  }
  const steps = stepsPerEpoch(pictures, batchSize, true)
  if (steps === 0) {
    const expected = `at least ${least} for ${worldSize} ranks`
    throw NnclrError.config([{ field: 'data', value: `${pictures} pictures`, expected }])
  }
  const note = `the last batch of an epoch is left out: ${last} pictures are too few for ${worldSize} ranks`
  return { steps, dropLast: true, notes: [note] }
}

function tooSmall({ batchSize }: PlanSettings, worldSize: number, least: number): NnclrError {
  const each = least === worldSize ? 'a picture for each' : 'two for each: batch normalisation'
  const expected = `at least ${least} for ${worldSize} ranks, ${each}`
  return NnclrError.config([{ field: 'batchSize', value: String(batchSize), expected }])
}

/**
 * This rank's part of each batch of an epoch, from batch number `first` on. The batches are those of one
 * process: the order depends on seed and epoch alone.
 */
export function* sharesOf(
  { config, ranks, indices, plan }: Pick<Prepared, 'config' | 'ranks' | 'indices' | 'plan'>,
  epoch: number,
  first: number,
): Generator<Uint32Array, void, void> {
  const order = epochOrder(indices.length, { seed: config.seed, epoch, shuffle: true })
  const places = pick(indices, order)
  for (const batch of batches(places, config.batchSize, plan.dropLast, first)) {
    yield ranks.share(batch)
  }
}
