/** Counts the pictures that could not be read, lists each once, and says when they are too many. */

import type { FittedConfig } from '../config.js'
import { NnclrError } from '../errors.js'
import type { BadPicture } from '../native.js'
import type { RunDirectory } from '../run-directory.js'

/** A handful of bad files never stops a run: in a small set it would be more than a percent. */
const ALWAYS_ALLOWED = 10

/** The unreadable pictures of a run. */
export class BadPictures {
  readonly #seen: Set<number>
  readonly #directory: RunDirectory
  readonly #limit: number
  readonly #total: number

  /** `seen`: those that the run met before it was resumed; `total`: pictures of the set. */
  constructor(
    directory: RunDirectory,
    { maxBadShare }: FittedConfig,
    total: number,
    seen: readonly number[],
  ) {
    this.#directory = directory
    this.#seen = new Set(seen)
    this.#limit = Math.max(ALWAYS_ALLOWED, maxBadShare * total)
    this.#total = total
  }

  /** How many so far. */
  get count(): number {
    return this.#seen.size
  }

  /** Their places in the set, rising. */
  get indices(): number[] {
    return [...this.#seen].sort((a, b) => a - b)
  }

  /**
   * Records those of a batch; returns the ones met for the first time. Another set than the training
   * pictures' counts from `first` on.
   *
   * @throws NnclrError DECODE when there are more than the run allows.
   */
  record(bad: readonly BadPicture[], first: number = 0): BadPicture[] {
    const isNew = (place: number) => !this.#seen.has(place) && this.#seen.add(place)
    const fresh = bad.filter(({ index }) => isNew(first + index))
    for (const picture of fresh) this.#directory.badImages.append(picture)
    if (this.#seen.size > this.#limit) {
      const message =
        `${this.#seen.size} of ${this.#total} pictures cannot be read, more than maxBadShare allows; ` +
        `they are listed in ${this.#directory.badImages.path}`
      throw new NnclrError('DECODE', 'data', message)
    }
    return fresh
  }
}
