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
type PlanSettings = Pick<
  FittedConfig,
  'batchSize' | 'dropLast' | 'syncBatchNorm' | 'gatherNegatives'
>

/**
 * The same on every rank. A step gives each rank a picture, or two where each normalises its own or takes
 * its negatives from its own alone: a last batch that is too small for that is left out, with a note.
 *
 * @throws NnclrError CONFIG when no batch is large enough.
 */
export function planEpoch(config: PlanSettings, pictures: number, worldSize: number): EpochPlan {
  const { batchSize, dropLast } = config
  const last = pictures % batchSize
  const least = leastFor(config, worldSize)
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

/**
 * A note when a resumed run has other epochs than it had on `before` ranks: a step counts as one step of
 * the learning-rate schedule, so that where it stands in the schedule is shifted.
 */
export function changedSteps(
  config: PlanSettings,
  pictures: number,
  before: number,
  worldSize: number,
): string[] {
  const isLastOut = (ranks: number): boolean =>
    config.dropLast || pictures % config.batchSize < leastFor(config, ranks)
  const stepsOn = (ranks: number): number =>
    stepsPerEpoch(pictures, config.batchSize, isLastOut(ranks))
  const [had, has] = [stepsOn(before), stepsOn(worldSize)]
  if (had === has) return []
  return [`an epoch has ${has} steps on ${inRanks(worldSize)} and had ${had} on ${inRanks(before)}`]
}

/** `1 rank`, `2 ranks`. */
function inRanks(count: number): string {
  return `${count} rank${count === 1 ? '' : 's'}`
}

/** The smallest batch that `worldSize` ranks can share. */
function leastFor({ syncBatchNorm, gatherNegatives }: PlanSettings, worldSize: number): number {
  // One process alone has been checked by `fitToSet`.
  if (worldSize === 1) return 0
  return worldSize * (syncBatchNorm && gatherNegatives ? 1 : 2)
}

function tooSmall(
  { batchSize, syncBatchNorm }: PlanSettings,
  worldSize: number,
  least: number,
): NnclrError {
  const reason = syncBatchNorm ? 'gatherNegatives is off' : 'syncBatchNorm is off'
  const each = least === worldSize ? 'a picture for each' : `two for each: ${reason}`
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
