/** Sums over the steps of an epoch, from which its means are made. */

import type { NeighbourHealth } from '../events.js'
import type { StepNumbers } from '../native.js'

/** Numbers that are averaged over an epoch. */
type Averaged = Omit<NeighbourHealth, 'bankFilled' | 'sameClassRate'> & {
  loss: number
  sameClassRate: number
}

/** Plain sums: they are part of a checkpoint, so that an epoch's means survive a resume bit by bit. */
export type Sums = { -readonly [K in keyof Averaged]: number } & { steps: number }

/** No steps yet. */
export function noSums(): Sums {
  return {
    steps: 0,
    loss: 0,
    neighbourSimilarity: 0,
    viewSimilarity: 0,
    neighbourAgreement: 0,
    uniqueNeighbours: 0,
    selfNeighbourRate: 0,
    neighbourAge: 0,
    sameClassRate: 0,
    featureStd: 0,
  }
}

/** Adds a step. */
export function addStep(sums: Sums, step: StepNumbers): void {
  sums.steps += 1
  sums.loss += step.loss
  sums.neighbourSimilarity += step.neighbourSimilarity
  sums.viewSimilarity += step.viewSimilarity
  sums.neighbourAgreement += step.neighbourAgreement
  sums.uniqueNeighbours += step.uniqueNeighbours
  sums.selfNeighbourRate += step.selfNeighbourRate
  sums.neighbourAge += step.neighbourAge
  sums.sameClassRate += step.sameClassRate ?? 0
  sums.featureStd += step.featureStd
}

/** The epoch's means; `labelled` tells whether a same-class rate means anything. */
export function meansOf(
  sums: Sums,
  labelled: boolean,
): Omit<NeighbourHealth, 'bankFilled'> & { loss: number } {
  const n = Math.max(1, sums.steps)
  return {
    loss: sums.loss / n,
    neighbourSimilarity: sums.neighbourSimilarity / n,
    viewSimilarity: sums.viewSimilarity / n,
    neighbourAgreement: sums.neighbourAgreement / n,
    uniqueNeighbours: sums.uniqueNeighbours / n,
    selfNeighbourRate: sums.selfNeighbourRate / n,
    neighbourAge: sums.neighbourAge / n,
    sameClassRate: labelled ? sums.sameClassRate / n : null,
    featureStd: sums.featureStd / n,
  }
}

/** A step's neighbour health as events show it. */
export function healthOf(step: StepNumbers, bankSize: number): NeighbourHealth {
  return {
    neighbourSimilarity: step.neighbourSimilarity,
    viewSimilarity: step.viewSimilarity,
    neighbourAgreement: step.neighbourAgreement,
    uniqueNeighbours: step.uniqueNeighbours,
    selfNeighbourRate: step.selfNeighbourRate,
    neighbourAge: step.neighbourAge,
    sameClassRate: step.sameClassRate,
    featureStd: step.featureStd,
    bankFilled: step.bankFilled / bankSize,
  }
}
