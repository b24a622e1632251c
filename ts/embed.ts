/** What a trained backbone is used for: features of pictures, and the kNN score of two sets. */

import { stat } from 'node:fs/promises'
import { readMetadata } from './checkpoint.js'
import type { FittedConfig } from './config.js'
import { alignedLabels, type DataInput, type Dataset } from './data/dataset.js'
import { openDataset } from './data/open-dataset.js'
import { isAbort, NnclrError } from './errors.js'
import { type EmbedSource, embedEach, knnScore } from './evaluate.js'
import { openPictures } from './loader.js'
import { type BadPicture, native, type Session } from './native.js'
import { presets } from './presets.js'
import { listCheckpoints } from './run-directory.js'
import { naturals, splitHoldout } from './sampler.js'
import { createSession, workersOf } from './session.js'

/** What `embed` and `knn` share. */
export interface EmbedOptions {
  /** The pictures. */
  readonly data: DataInput
  /** A checkpoint, an exported backbone, or a run directory (its newest checkpoint). */
  readonly checkpoint: string
  /** Width and height that pictures are brought to, in pixels. @default that of the training */
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

/** Features of a set of pictures. */
export interface Embedded {
  /** `[count, dim]`, row-major: backbone features, not normalised. */
  readonly features: Float32Array
  /** Length of a row. */
  readonly dim: number
  /** Number of rows. */
  readonly count: number
  /** Path of each row. */
  readonly paths: string[]
  /** Class of each row, null without labels. */
  readonly labels: Int32Array | null
  /** The classes' names by number, null when they have none. */
  readonly classes: readonly string[] | null
  /** Pictures that could not be read; they have no row. */
  readonly bad: BadPicture[]
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
}

/**
 * Backbone features of pictures, in evaluation mode: the short side brought to `imageSize`, the
 * centre taken.
 *
 * @throws NnclrError CONFIG, IO, CHECKPOINT, DEVICE; pictures that cannot be read are listed in `bad`.
 */
export async function embed(options: EmbedOptions): Promise<Embedded> {
  return withBackbone(options, async ({ session, config, open }) => {
    const dataset = await openDataset(options.data)
    const source = { loader: open(dataset), indices: naturals(dataset.length) }
    const dim = session.featureDim
    const features = new Float32Array(dataset.length * dim)
    const rows: number[] = []
    const bad: BadPicture[] = []
    const keep = (part: {
      features: Float32Array
      places: Uint32Array
      bad: readonly BadPicture[]
    }): void => {
      features.set(part.features, rows.length * dim)
      rows.push(...part.places)
      bad.push(...part.bad)
    }
    await embedEach(session, source, keep, options.signal, config.batchSize)
    const { labels } = dataset
    return {
      features: rows.length === dataset.length ? features : features.slice(0, rows.length * dim),
      dim,
      count: rows.length,
      paths: rows.map((row) => dataset.path(row)),
      labels: labels === null ? null : Int32Array.from(rows, (row) => labels[row] ?? 0),
      classes: dataset.classes,
      bad,
    }
  })
}

/**
 * How often the nearest of `data` name the class of a picture of `validation`.
 *
 * @throws NnclrError CONFIG when a set has no labels; otherwise as `embed`.
 */
export async function knn(options: KnnOptions): Promise<KnnResult> {
  const { k = 200, temperature = 0.1, validation, seed = 0 } = options
  return withBackbone(options, async ({ session, open }) => {
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
    return { ...score, temperature }
  })
}

interface Backbone {
  readonly session: Session
  readonly config: FittedConfig
  /** A loader of a set's pictures as evaluation sees them. */
  open(dataset: Dataset): EmbedSource['loader']
}

/** Opens the backbone for `work` and lets everything go after it. */
async function withBackbone<T>(
  options: EmbedOptions,
  work: (backbone: Backbone) => Promise<T>,
): Promise<T> {
  const closers: (() => void)[] = []
  try {
    const path = await newestIn(options.checkpoint)
    const { config: recorded } = await readMetadata(path)
    const config = {
      ...presets.default,
      memoryBank: { size: 1, warmup: 'random' },
      lr: 0,
      momentum: 0,
      ...pickDefined(recorded, ['backbone', 'stem', 'imageSize', 'precision']),
      batchSize: options.batchSize ?? 256,
      ...pickDefined(options, ['imageSize', 'device', 'threads', 'workers']),
    } as unknown as FittedConfig
    const session = await createSession({
      ...config,
      projectionHead: { hidden: 1, out: 1 },
      predictionHead: { hidden: 1 },
    })
    closers.push(() => session.dispose())
    await session.importBackbone(path)
    const open = (dataset: Dataset): EmbedSource['loader'] => {
      const { imageSize: size, seed } = config
      const pictures = openPictures(dataset, { ...config, cacheBytes: 0 })
      const loader = new native.Loader(pictures, {
        size,
        seed,
        workers: workersOf(config),
        onBadImage: 'omit',
      })
      closers.push(() => loader.dispose())
      return loader
    }
    return await work({ session, config, open })
  } catch (error) {
    throw isAbort(error) ? error : NnclrError.from(error)
  } finally {
    for (const close of closers.reverse()) close()
  }
}

/** A run directory stands for its newest checkpoint. */
async function newestIn(path: string): Promise<string> {
  let isDirectory: boolean
  try {
    isDirectory = (await stat(path)).isDirectory()
  } catch (error) {
    throw NnclrError.io('read', path, error)
  }
  if (!isDirectory) return path
  const newest = (await listCheckpoints(path))[0]
  if (newest === undefined) throw new NnclrError('CHECKPOINT', path, `${path} holds no checkpoint`)
  return newest.path
}

function pickDefined(from: object, fields: readonly string[]): Record<string, unknown> {
  const entries = Object.entries(from).filter(
    ([key, value]) => fields.includes(key) && value !== undefined,
  )
  return Object.fromEntries(entries)
}
