/** The run directory of a training on several ranks: rank 0 has it open, the others do not touch it. */

import type { OpenOptions } from '../run-directory/entry.js'
import { RunDirectory } from '../run-directory.js'
import type { Ranks } from './ranks.js'

/** A file that records are added to. */
export interface Lines {
  readonly path: string
  append(record: object): void
}

/** The run directory as a training uses it, on any rank. */
export interface SharedDirectory {
  /** Rank 0's. */
  readonly path: string
  readonly metrics: Lines
  readonly timing: Lines
  readonly badImages: Lines
  /** Does `work` on rank 0; every rank gets what it gives, which JSON can hold. */
  use<T>(work: (directory: RunDirectory) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Opens it on rank 0. @throws NnclrError CONFIG, IO, as `RunDirectory.open`. */
export async function openShared(
  ranks: Ranks,
  out: string,
  options: OpenOptions,
): Promise<SharedDirectory> {
  return ranks.isFirst ? openOwn(ranks, out, options) : openOther(ranks, out)
}

async function openOwn(ranks: Ranks, out: string, options: OpenOptions): Promise<SharedDirectory> {
  const directory = await RunDirectory.open(out, options)
  const { path, metrics, timing, badImages } = directory
  return {
    path,
    metrics,
    timing,
    badImages,
    use: (work) => ranks.fromFirst(() => work(directory)),
    close: () => directory.close(),
  }
}

function openOther(ranks: Ranks, out: string): SharedDirectory {
  // The other rank's name for it, for messages: nothing is written here.
  const nowhere: Lines = { path: out, append: () => {} }
  return {
    path: out,
    metrics: nowhere,
    timing: nowhere,
    badImages: nowhere,
    use: <T>(_work: (directory: RunDirectory) => Promise<T>) =>
      ranks.fromFirst<T>(() => Promise.reject(new Error('rank 0 alone has the run directory'))),
    close: async () => {},
  }
}
