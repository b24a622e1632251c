/** Which pictures a rank sees in an epoch. */

import type { Dataset } from '../data/dataset.js'
import { NnclrError } from '../errors.js'
import { epochOrder } from '../sampler.js'
import { getProcessGroup } from './process-group.js'

/** Options of a `DistributedSampler`. */
export interface DistributedSamplerOptions {
  /** Number of ranks. @default the default group's */
  readonly numReplicas?: number
  /** This process's number. @default the default group's */
  readonly rank?: number
  /** A new order each epoch. @default true, as PyTorch */
  readonly shuffle?: boolean
  /** Decides the order; the same on every rank. @default 0 */
  readonly seed?: number
  /** Leave the last pictures out where they do not go round, instead of repeating the first. @default false */
  readonly dropLast?: boolean
}

/**
 * `torch.utils.data.DistributedSampler`: of the epoch's order, the same on every rank, this one sees
 * places `rank`, `rank + numReplicas` ... All ranks see equally many, so that none waits for another
 * at the end: the order is filled up from its beginning, or with `dropLast` cut. A pure function of
 * seed, epoch, rank and number of ranks.
 */
export class DistributedSampler {
  /** Pictures an epoch on each rank: Python's `len(sampler)`. */
  readonly length: number
  /** Pictures of the set. */
  readonly dataLength: number
  /** What `setEpoch` said; null while the loader counts the epochs. */
  epoch: number | null = null
  readonly #replicas: number
  readonly #rank: number
  readonly #options: { shuffle: boolean; seed: number }

  /**
   * @param data The opened set (`openDataset`), or its number of pictures.
   * @throws NnclrError CONFIG for options out of range, or when there is no group to ask.
   */
  constructor(data: number | Pick<Dataset, 'length'>, options: DistributedSamplerOptions = {}) {
    const { shuffle = true, seed = 0, dropLast = false } = options
    this.dataLength = typeof data === 'number' ? data : data.length
    this.#replicas = options.numReplicas ?? getProcessGroup().worldSize
    this.#rank = options.rank ?? getProcessGroup().rank
    this.#options = { shuffle, seed }
    checked('data', this.dataLength, 0, Number.MAX_SAFE_INTEGER)
    checked('numReplicas', this.#replicas, 1, Number.MAX_SAFE_INTEGER)
    checked('rank', this.#rank, 0, this.#replicas - 1)
    checked('seed', seed, 0, Number.MAX_SAFE_INTEGER)
    const rounds = this.dataLength / this.#replicas
    this.length = dropLast ? Math.floor(rounds) : Math.ceil(rounds)
  }

  /** The next epoch's number, for its order and its augmentation. Without it the loader counts. */
  setEpoch(epoch: number): void {
    this.epoch = checked('epoch', epoch, 0, Number.MAX_SAFE_INTEGER)
  }

  /** This rank's places in the set, in order. */
  indices(epoch: number = this.epoch ?? 0): Uint32Array {
    const order = epochOrder(this.dataLength, { ...this.#options, epoch })
    const own = new Uint32Array(this.length)
    for (let i = 0; i < own.length; i++) {
      own[i] = order[(this.#rank + i * this.#replicas) % order.length] ?? 0
    }
    return own
  }

  /** `for (const index of sampler)`, as over PyTorch's. */
  [Symbol.iterator](): IterableIterator<number> {
    return this.indices().values()
  }
}

function checked(field: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  const expected = `a whole number from ${least}${most < 2 ** 53 - 1 ? ` to ${most}` : ''}`
  throw NnclrError.config([{ field, value: String(value), expected }])
}
