/**
 * Counts the pictures that could not be read, lists each once, and says when they are too many. Each
 * rank meets its own; they are told to the others from time to time, so that all count all.
 */

import type { FittedConfig } from '../config.js'
import type { Ranks } from '../distributed/ranks.js'
import type { Lines } from '../distributed/shared-directory.js'
import { NnclrError } from '../errors.js'
import type { BadPicture } from '../native.js'

/** A handful of bad files never stops a run: in a small set it would be more than a percent. */
const ALWAYS_ALLOWED = 10

/** A picture that could not be read, and its place among training and validation pictures. */
interface Met {
  readonly place: number
  readonly picture: BadPicture
}

/** The unreadable pictures of a run. */
export class BadPictures {
  readonly #seen: Set<number>
  readonly #list: Lines
  readonly #limit: number
  readonly #total: number
  #untold: Met[] = []

  /**
   * `list`: the file of them; `total`: pictures of the set; `seen`: those that the run met before it
   * was resumed.
   */
  constructor(
    list: Lines,
    { maxBadShare }: Pick<FittedConfig, 'maxBadShare'>,
    total: number,
    seen: readonly number[],
  ) {
    this.#list = list
    this.#seen = new Set(seen)
    this.#limit = Math.max(ALWAYS_ALLOWED, maxBadShare * total)
    this.#total = total
  }

  /** How many so far, of those told. */
  get count(): number {
    return this.#seen.size
  }

  /** Their places in the set, rising. */
  get indices(): number[] {
    return [...this.#seen].sort((a, b) => a - b)
  }

  /** How many this rank has met and not yet told. */
  get untold(): number {
    return this.#untold.length
  }

  /** Takes those of a batch. Another set than the training pictures' counts from `first` on. */
  meet(bad: readonly BadPicture[], first: number = 0): void {
    const isNew = ({ place }: Met): boolean => !this.#seen.has(place)
    const met = bad.map((picture) => ({ place: first + picture.index, picture }))
    this.#untold.push(...met.filter(isNew))
  }

  /**
   * Tells every rank those that each has met, and records them in rank order. All ranks call it.
   *
   * @returns the ones met for the first time.
   * @throws NnclrError DECODE when there are more than the run allows.
   */
  async tell(ranks: Ranks): Promise<BadPicture[]> {
    const met = (await ranks.gather(this.#untold)).flat()
    this.#untold = []
    const isNew = (place: number) => !this.#seen.has(place) && this.#seen.add(place)
    const fresh = met.filter(({ place }) => isNew(place)).map(({ picture }) => picture)
    for (const picture of fresh) this.#list.append(picture)
    if (this.#seen.size > this.#limit) {
      const message =
        `${this.#seen.size} of ${this.#total} pictures cannot be read, more than maxBadShare allows; ` +
        `they are listed in ${this.#list.path}`
      throw new NnclrError('DECODE', 'data', message)
    }
    return fresh
  }
}
