/** Loaded backbones and embedded folders. */

import { type Embedder, ImageFolder, NnclrError, openEmbedder, type PictureIndex } from 'nnclr'
import { COMPUTING_THREADS } from './cores.js'
import { Problem } from './problem.js'
import { Recent } from './recent.js'

/** Each holds a network in memory. */
const MOST_EMBEDDERS = 2
/** Each holds `dim` numbers a picture in memory. */
const MOST_INDEXES = 4

/** Everything that stays loaded. */
export class Embedders {
  readonly #maxPixels: number
  readonly #embedders: Recent<Embedder> = new Recent(MOST_EMBEDDERS, (one) => one.close())
  readonly #indexes: Recent<PictureIndex> = new Recent(MOST_INDEXES, (one) => one.close())

  constructor(maxPixels: number) {
    this.#maxPixels = maxPixels
  }

  /** Does `work` with the backbone of a checkpoint. */
  use<R>(checkpoint: string, work: (embedder: Embedder) => Promise<R>): Promise<R> {
    const [threads, maxPixels] = [COMPUTING_THREADS, this.#maxPixels]
    const open = (): Promise<Embedder> =>
      openEmbedder(checkpoint, { threads, workers: threads, maxPixels })
    return this.#embedders.use(checkpoint, open, work)
  }

  /**
   * Does `work` with a folder as this backbone sees it. The folder is listed at every call and
   * embedded when the list is a new one: a picture that was added, removed or renamed is noticed,
   * one that was written over is not.
   *
   * @throws Problem 422 for a folder without pictures, or one that cannot be read
   */
  async search<R>(
    embedder: Embedder,
    folder: string,
    work: (index: PictureIndex) => Promise<R>,
  ): Promise<R> {
    try {
      const pictures = await new ImageFolder(folder).open()
      const key = [embedder.checkpoint, folder, pictures.fingerprint].join('\0')
      return await this.#indexes.use(key, () => embedder.index(pictures), work)
    } catch (error) {
      if (!(error instanceof NnclrError) || error.code !== 'IO') throw error
      throw new Problem(422, 'FOLDER', error.message)
    }
  }

  /** Lets everything go. */
  async close(): Promise<void> {
    await this.#indexes.clear()
    await this.#embedders.clear()
  }
}
