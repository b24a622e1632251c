/**
 * A backbone that stays loaded, for programs that embed again and again: servers, desktop apps.
 * Single pictures that are asked for at about the same time go through the network together.
 */

import { type Backbone, type Embedded, embedDataset, openBackbone } from './backbone.js'
import type { DataInput } from './data/dataset.js'
import { openDataset } from './data/open-dataset.js'
import { Coalescer } from './embedder/coalescer.js'
import { checkEmbedderOptions, checkPicture } from './embedder/options.js'
import { indexOf, type PictureIndex } from './embedder/picture-index.js'
import { isAbort, NnclrError } from './errors.js'

/** Options of `openEmbedder`. */
export interface EmbedderOptions {
  /**
   * Width and height that pictures are brought to, 8 to 4096 pixels. @default that at which the training
   * compares pictures
   */
  readonly imageSize?: number
  /** Pictures at a time, 1 to 2^20; no result depends on it. @default 256 */
  readonly batchSize?: number
  /** `auto`, `cpu`, `cuda` or `cuda:N`. @default 'auto' */
  readonly device?: string
  /** Threads to compute with, for the whole process, 1 to 1024. @default one a core */
  readonly threads?: number
  /** Threads to read pictures with, 1 to 1024. @default one a core, at most 8 */
  readonly workers?: number
  /** Largest picture, pixels; checked before memory is taken for it. @default 100,000,000 */
  readonly maxPixels?: number
  /** Largest picture, bytes decoded. @default 512 MiB */
  readonly maxBytes?: number
}

/** What a call may be given. */
export interface EmbedderCall {
  /** Ends it with an AbortError. */
  readonly signal?: AbortSignal
}

/** A loaded backbone. Calls may overlap; each is a promise of its own. */
export interface Embedder extends AsyncDisposable {
  /** The checkpoint's file. */
  readonly checkpoint: string
  /** Length of a feature row. */
  readonly dim: number
  /** Width and height that pictures are brought to, in pixels. */
  readonly imageSize: number
  /** The device in use, for example `cpu`. */
  readonly device: string
  /** As `embed`, without loading anything. */
  embed(data: DataInput, call?: EmbedderCall): Promise<Embedded>
  /**
   * Features of one picture: the path of a file, or the bytes of one. Calls that come while others
   * are computed are put together; a picture that cannot be read fails its own call alone.
   *
   * @throws NnclrError CONFIG for what is neither, DECODE, IO for this picture
   */
  embedPicture(picture: string | Uint8Array): Promise<Float32Array>
  /** Embeds a set so that it can be searched. */
  index(data: DataInput, call?: EmbedderCall): Promise<PictureIndex>
  /** Lets it go, after the calls under way; calls that come later fail with DISPOSED. */
  close(): Promise<void>
}

/**
 * Loads a backbone once for many calls.
 *
 * @param checkpoint a checkpoint, an exported backbone, or a run directory (its newest checkpoint)
 * @throws NnclrError CONFIG, IO, CHECKPOINT, DEVICE
 *
 * @example
 * const embedder = await openEmbedder('runs/first')
 * const features = await embedder.embedPicture('cat.jpg')
 * const photos = await embedder.index('photos/')
 * for (const { path, similarity } of await photos.search(features, 5)) console.log(path, similarity)
 */
export async function openEmbedder(
  checkpoint: string,
  options: EmbedderOptions = {},
): Promise<Embedder> {
  try {
    checkEmbedderOptions(checkpoint, options)
    return new LoadedEmbedder(await openBackbone({ ...options, checkpoint }))
  } catch (error) {
    throw NnclrError.from(error)
  }
}

class LoadedEmbedder implements Embedder {
  readonly checkpoint: string
  readonly dim: number
  readonly imageSize: number
  readonly device: string
  readonly #backbone: Backbone
  readonly #single: Coalescer
  readonly #underWay: Set<Promise<unknown>> = new Set()
  #isClosed = false

  constructor(backbone: Backbone) {
    this.#backbone = backbone
    this.checkpoint = backbone.path
    this.dim = backbone.session.featureDim
    this.imageSize = backbone.config.imageSize
    this.device = backbone.session.device
    const { batchSize } = backbone.config
    this.#single = new Coalescer(batchSize, async (pictures) => {
      return embedDataset(backbone, await openDataset(pictures))
    })
  }

  embed(data: DataInput, { signal }: EmbedderCall = {}): Promise<Embedded> {
    return this.#call(async () => embedDataset(this.#backbone, await openDataset(data), signal))
  }

  embedPicture(picture: string | Uint8Array): Promise<Float32Array> {
    return this.#call(async () => {
      checkPicture(picture)
      return this.#single.embed(picture)
    })
  }

  index(data: DataInput, { signal }: EmbedderCall = {}): Promise<PictureIndex> {
    return this.#call(async () =>
      indexOf(await embedDataset(this.#backbone, await openDataset(data), signal)),
    )
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#underWay)
    this.#backbone.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new NnclrError('DISPOSED', 'Embedder', 'the embedder was closed')
    const promise = work()
    this.#underWay.add(promise)
    try {
      return await promise
    } catch (error) {
      throw isAbort(error) ? error : NnclrError.from(error)
    } finally {
      this.#underWay.delete(promise)
    }
  }
}
