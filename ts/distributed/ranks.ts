/**
 * What a training does together with the other ranks. The same calls on one rank and on many; on many
 * all ranks make them in the same order, or they wait for each other until the time is up.
 */

import type { DistributedSettings } from '../config.js'
import { NnclrError } from '../errors.js'
import type { ProcessGroup, Session } from '../native.js'

/** How the ranks' sessions work together. */
export interface JoinSettings {
  readonly syncBatchNorm: boolean
  readonly gatherNegatives: boolean
}

/** The ranks of a training, seen from one of them. */
export interface Ranks {
  readonly rank: number
  readonly worldSize: number
  /** Rank 0: it writes the run directory and tells the events. */
  readonly isFirst: boolean
  /** This rank's part of a batch of all; the parts in rank order are the batch. */
  share(batch: Uint32Array): Uint32Array
  /** Every rank's value, which JSON can hold, in rank order. */
  gather<T>(value: T): Promise<T[]>
  /** What `work` gives on rank 0, which alone does it; the others wait for it. */
  fromFirst<T>(work: () => Promise<T>): Promise<T>
  /** Every rank's rows, any number of them, in rank order. */
  gatherRows(rows: Float32Array, width: number): Promise<Float32Array>
  /** Whether any rank says so. */
  any(mine: boolean): Promise<boolean>
  /** The same at the end of a step, which has told the ranks: `asked` before it, by any of them. */
  isStop(mine: boolean, asked: boolean): boolean
  /** From now on the steps of this session are steps of all ranks, from where rank 0 stands. */
  join(session: Session, settings: JoinSettings): Promise<void>
  /** @throws NnclrError DISTRIBUTED when a rank's memory bank is not rank 0's. */
  checkBanks(session: Session, step: number): Promise<void>
  /** The end; with a reason at once, and the other ranks' errors will quote it. */
  leave(reason?: string): Promise<void>
}

/** A training of one process. */
export const ALONE: Ranks = {
  rank: 0,
  worldSize: 1,
  isFirst: true,
  share: (batch) => batch,
  gather: async (value) => [value],
  fromFirst: (work) => work(),
  gatherRows: async (rows) => rows,
  any: async (mine) => mine,
  isStop: (mine) => mine,
  join: async () => {},
  checkBanks: async () => {},
  leave: async () => {},
}

/** One of several ranks. */
export class JoinedRanks implements Ranks {
  readonly rank: number
  readonly worldSize: number
  readonly #group: ProcessGroup
  readonly #checkEverySteps: number

  constructor(group: ProcessGroup, { checkEverySteps }: DistributedSettings) {
    this.rank = group.rank
    this.worldSize = group.worldSize
    this.#group = group
    this.#checkEverySteps = checkEverySteps
  }

  get isFirst(): boolean {
    return this.rank === 0
  }

  share(batch: Uint32Array): Uint32Array {
    return shareOf(batch, this.rank, this.worldSize)
  }

  async gather<T>(value: T): Promise<T[]> {
    const texts = await this.#group.gatherText(JSON.stringify(value ?? null))
    return texts.map((text) => JSON.parse(text) as T)
  }

  async fromFirst<T>(work: () => Promise<T>): Promise<T> {
    const [first] = await this.gather(this.isFirst ? await work() : null)
    return first as T
  }

  gatherRows(rows: Float32Array, width: number): Promise<Float32Array> {
    return this.#group.gatherRows(rows, width)
  }

  async any(mine: boolean): Promise<boolean> {
    return (await this.gather(mine)).includes(true)
  }

  isStop(_mine: boolean, asked: boolean): boolean {
    return asked
  }

  join(session: Session, settings: JoinSettings): Promise<void> {
    return session.join(this.#group, settings)
  }

  async checkBanks(session: Session, step: number): Promise<void> {
    if (this.#checkEverySteps === 0 || step % this.#checkEverySteps !== 0) return
    const [first, ...others] = await this.gather(await session.bankHash())
    const differing = others.flatMap((hash, i) => (hash === first ? [] : [i + 1]))
    if (differing.length === 0) return
    const message =
      `after step ${step} the memory bank of ${ranksInWords(differing)} differs from that of rank 0, ` +
      'though both took the same rows: suspect memory, network or versions of that machine'
    throw new NnclrError('DISTRIBUTED', ranksInWords(differing), message)
  }

  leave(reason?: string): Promise<void> {
    return this.#group.leave(reason)
  }
}

/** Part `rank` of `worldSize` of a batch: sizes differ by one at most. */
export function shareOf(batch: Uint32Array, rank: number, worldSize: number): Uint32Array {
  const edge = (part: number): number => Math.floor((part * batch.length) / worldSize)
  return batch.slice(edge(rank), edge(rank + 1))
}

/** `rank 1`, `ranks 1, 3`. */
export function ranksInWords(ranks: readonly number[]): string {
  return `rank${ranks.length === 1 ? '' : 's'} ${ranks.join(', ')}`
}
