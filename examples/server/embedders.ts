/** Loaded backbones and embedded folders, a few of each, the least recently used let go first. */

import { type Embedder, openEmbedder, type PictureIndex } from 'nnclr'
import { COMPUTING_THREADS } from './cores.js'

/** Each holds a network in memory. */
const MOST_EMBEDDERS = 2
/** Each holds `dim` numbers a picture in memory. */
const MOST_INDEXES = 4

/** Promises by key; what falls out is closed once it is there. */
class Recent<T> {
  readonly #most: number
  readonly #close: (value: T) => unknown
  readonly #kept: Map<string, Promise<T>> = new Map()

  constructor(most: number, close: (value: T) => unknown) {
    this.#most = most
    this.#close = close
  }

  get(key: string, open: () => Promise<T>): Promise<T> {
    const value = this.#kept.get(key) ?? open()
    // What failed is tried anew next time.
    value.catch(() => this.#kept.delete(key))
    this.#kept.delete(key)
    this.#kept.set(key, value)
    for (const oldest of [...this.#kept.keys()].slice(0, -this.#most)) this.#drop(oldest)
    return value
  }

  clear(): void {
    for (const key of [...this.#kept.keys()]) this.#drop(key)
  }

  #drop(key: string): void {
    const value = this.#kept.get(key)
    this.#kept.delete(key)
    value?.then(this.#close).catch(() => {})
  }
}

/** Everything that stays loaded. */
export class Embedders {
  readonly #maxPixels: number
  readonly #embedders: Recent<Embedder> = new Recent(MOST_EMBEDDERS, (one) => one.close())
  readonly #indexes: Recent<PictureIndex> = new Recent(MOST_INDEXES, (one) => one.close())

  constructor(maxPixels: number) {
    this.#maxPixels = maxPixels
  }

  /** The backbone of a checkpoint. */
  of(checkpoint: string): Promise<Embedder> {
    const [threads, maxPixels] = [COMPUTING_THREADS, this.#maxPixels]
    return this.#embedders.get(checkpoint, () =>
      openEmbedder(checkpoint, { threads, workers: threads, maxPixels }),
    )
  }

  /** A folder as this backbone sees it; embedded at the first call. */
  async index(embedder: Embedder, folder: string): Promise<PictureIndex> {
    const key = `${embedder.checkpoint}\0${folder}`
    return this.#indexes.get(key, () => embedder.index(folder))
  }

  close(): void {
    this.#indexes.clear()
    this.#embedders.clear()
  }
}
