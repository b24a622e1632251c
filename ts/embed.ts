/** What a trained backbone is used for: features of pictures, and the kNN score of two sets. */

import { type Backbone, type Embedded, embedDataset, openBackbone } from './backbone.js'
import { checkSignal } from './config/signal.js'
import { alignedLabels, type DataInput, type Dataset } from './data/dataset.js'
import { openDataset } from './data/open-dataset.js'
import { isAbort, NnclrError } from './errors.js'
import { type EmbedSource, knnScore } from './evaluate.js'
import { embedInChild, isolation, knnInChild, type RunOptions } from './isolate.js'
import type { Loader } from './native.js'
import { naturals, splitHoldout } from './sampler.js'

export type { Embedded } from './backbone.js'

/** What `embed` and `knn` share. */
export interface EmbedOptions {
  /** The pictures. */
  readonly data: DataInput
  /** A checkpoint, an exported backbone, or a run directory (its newest checkpoint). */
  readonly checkpoint: string
  /**
   * Width and height that pictures are brought to, pixels. @default that at which the training compares
   * pictures
   */
  readonly imageSize?: number
  /** Pictures at a time; no result depends on it. @default 256 */
  readonly batchSize?: number
  /** `auto`, `cpu`, `cuda` or `cuda:N`. @default 'auto' */
  readonly device?: string
  /** Threads to compute with. @default one a core */
  readonly threads?: number
  /** Threads to read pictures with. @default one a core, at most 8 */
  readonly workers?: number
  /** Ends it with an AbortError. */
  readonly signal?: AbortSignal
}

/** Options of `knn`. */
export interface KnnOptions extends EmbedOptions {
  /** Pictures to classify: a set like `data`, or the share of `data` to hold back. */
  readonly validation: DataInput | number
  /** Neighbours that vote. @default 200 */
  readonly k?: number
  /** Each votes exp(similarity / temperature). @default 0.1 */
  readonly temperature?: number
  /** Decides what is held back. @default 0 */
  readonly seed?: number
}

/** A kNN score with its settings. */
export interface KnnResult {
  /** Share classified correctly, 0 to 1. */
  readonly top1: number
  /** Pictures of `data` compared with. */
  readonly references: number
  /** Pictures classified. */
  readonly queries: number
  /** Neighbours that voted. */
  readonly k: number
  /** Temperature of their weights. */
  readonly temperature: number
  /** Side at which the pictures were compared, pixels. */
  readonly imageSize: number
}

/**
 * Backbone features of pictures, in evaluation mode: the short side brought to `imageSize`, the
 * centre taken.
 *
 * @throws NnclrError CONFIG, IO, CHECKPOINT, DEVICE, PROCESS with `{ isolate: true }`; pictures that cannot be read are listed in `bad`.
 */
export async function embed(options: EmbedOptions, where: RunOptions = {}): Promise<Embedded> {
  const isolate = isolation(where)
  if (isolate !== null) return embedInChild(options, isolate)
  return withBackbone(options, async (backbone) => {
    return embedDataset(backbone, await openDataset(options.data), options.signal)
  })
}

/**
 * How often the nearest of `data` name the class of a picture of `validation`.
 *
 * @throws NnclrError CONFIG when a set has no labels; otherwise as `embed`.
 */
export async function knn(options: KnnOptions, where: RunOptions = {}): Promise<KnnResult> {
  const isolate = isolation(where)
  if (isolate !== null) return knnInChild(options, isolate)
  const { k = 200, temperature = 0.1, validation, seed = 0 } = options
  return withBackbone(options, async ({ session, config, open }) => {
    const dataset = await openDataset(options.data)
    const held = typeof validation === 'number'
    const parts = held
      ? splitHoldout(dataset.length, validation, seed)
      : { train: naturals(dataset.length), holdout: null }
    const other = typeof validation === 'number' ? dataset : await openDataset(validation)
    if (dataset.labels === null || other.labels === null) {
      const field = dataset.labels === null ? 'data' : 'validation'
      const expected = 'labels: sub-folders by class, or a label a sample'
      throw NnclrError.config([{ field, value: 'pictures without labels', expected }])
    }
    const references: EmbedSource = { loader: open(dataset), indices: parts.train }
    const queries: EmbedSource = {
      loader: open({ ...other, labels: alignedLabels(dataset, other) }),
      indices: parts.holdout ?? naturals(other.length),
    }
    const most = (labels: Int32Array): number => labels.reduce((a, b) => Math.max(a, b), 0)
    const classes = 1 + Math.max(most(dataset.labels), most(other.labels))
    const score = await knnScore(
      session,
      references,
      queries,
      { k, temperature, classes },
      options.signal,
    )
    return { ...score, temperature, imageSize: config.imageSize }
  })
}

/** Opens the backbone for `work` and lets everything go after it. */
async function withBackbone<T>(
  options: EmbedOptions,
  work: (backbone: Pick<Backbone, 'session' | 'config' | 'open'>) => Promise<T>,
): Promise<T> {
  const closers: (() => void)[] = []
  try {
    checkSignal(options.signal)
    const backbone = await openBackbone(options)
    closers.push(backbone.close)
    const open = (dataset: Dataset): Loader => {
      const loader = backbone.open(dataset)
      closers.push(() => loader.dispose())
      return loader
    }
    return await work({ ...backbone, open })
  } catch (error) {
    throw isAbort(error) ? error : NnclrError.from(error)
  } finally {
    for (const close of closers.reverse()) close()
  }
}
