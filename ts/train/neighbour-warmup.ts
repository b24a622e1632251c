/**
 * When neighbours take the place of the other view as the positive. Early neighbours are mostly of
 * another class; a share of the steps is waited for, or (`'auto'`) until they mean something.
 */

import type { FittedConfig } from '../config.js'
import type { StepNumbers } from '../native.js'

/**
 * Agreement from which on neighbours are used: the share of pictures whose two views have the same
 * neighbour. At 0.15 they were seen to cost nothing even with all of the loss, at about 0.02 half a
 * point to two (docs/recipes.md); between them nothing was tried.
 */
const ENOUGH_AGREEMENT = 0.15
/** With `'auto'`, the share of the steps after which neighbours are used in any case. */
const LATEST = 0.5
/** Steps over which the agreement is averaged: a batch's own is noisy. */
const MEMORY = 50

/** What a checkpoint holds of it. */
export interface NeighbourWarmupState {
  /** Running mean of the agreement. */
  readonly agreement: number
  /** The first step with neighbours, null before it is known. */
  readonly since: number | null
}

/** Decides each step's positives, and learns from each step's numbers. */
export class NeighbourWarmup {
  readonly #config: Pick<FittedConfig, 'neighbours' | 'neighbourWarmup'>
  readonly #steps: number
  readonly #bankSize: number
  #agreement: number
  #since: number | null

  constructor(
    config: Pick<FittedConfig, 'neighbours' | 'neighbourWarmup' | 'memoryBank'>,
    steps: number,
    before: NeighbourWarmupState = { agreement: 0, since: null },
  ) {
    this.#config = config
    this.#steps = steps
    this.#bankSize = config.memoryBank.size
    this.#agreement = before.agreement
    this.#since = before.since
  }

  /** What a checkpoint must hold. */
  get state(): NeighbourWarmupState {
    return { agreement: this.#agreement, since: this.#since }
  }

  /** Where the positives of step `step` (0 for the first) come from. */
  positive(step: number): 'bank' | 'view' | 'random' {
    const { neighbours, neighbourWarmup } = this.#config
    if (neighbours === 'none') return 'view'
    if (neighbourWarmup !== 'auto') {
      return step < neighbourWarmup * this.#steps ? 'view' : neighbours
    }
    const isEnough = this.#agreement >= ENOUGH_AGREEMENT || step >= LATEST * this.#steps
    if (this.#since === null && isEnough) this.#since = step
    return this.#since === null ? 'view' : neighbours
  }

  /** Takes in a finished step; among few rows two views agree by chance. */
  observe(numbers: Pick<StepNumbers, 'neighbourAgreement' | 'bankFilled'>): void {
    const { neighbourAgreement, bankFilled } = numbers
    if (bankFilled < this.#bankSize) return
    this.#agreement += (neighbourAgreement - this.#agreement) / MEMORY
  }
}
