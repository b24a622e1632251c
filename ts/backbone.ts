/** A trained backbone, opened: the session, and loaders of pictures as evaluation sees them. */

import { stat } from 'node:fs/promises'
import { readMetadata, recordedSide } from './checkpoint.js'
import type { FittedConfig } from './config.js'
import type { Dataset } from './data/dataset.js'
import { checkBackboneOptions } from './embedder/options.js'
import { NnclrError } from './errors.js'
import { embedEach } from './evaluate.js'
import { openPictures } from './loader.js'
import { type BadPicture, type Loader, native, type Session } from './native.js'
import { presets } from './presets.js'
import { listCheckpoints } from './run-directory.js'
import { naturals } from './sampler.js'
import { createSession, workersOf } from './session.js'

/** How a backbone is opened. */
export interface BackboneOptions {
  /** A checkpoint, an exported backbone, or a run directory (its newest checkpoint). */
  readonly checkpoint: string
  readonly imageSize?: number
  readonly batchSize?: number
  readonly device?: string
  readonly threads?: number
  readonly workers?: number
  readonly maxPixels?: number
  readonly maxBytes?: number
}

/** An opened backbone. */
export interface Backbone {
  /** The file it is from. */
  readonly path: string
  readonly session: Session
  readonly config: FittedConfig
  /** A loader of a set's pictures; the caller disposes of it. */
  open(dataset: Dataset): Loader
  /** Lets the session go. */
  close(): void
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

const GIVEN = ['imageSize', 'device', 'threads', 'workers', 'maxPixels', 'maxBytes']

/** Opens it. @throws NnclrError CONFIG, IO, CHECKPOINT, DEVICE */
export async function openBackbone(options: BackboneOptions): Promise<Backbone> {
  checkBackboneOptions(options)
  const path = await newestIn(options.checkpoint)
  const { config: recorded } = await readMetadata(path)
  const config = {
    ...presets.default,
    memoryBank: { size: 1, warmup: 'random' },
    lr: 0,
    momentum: 0,
    ...pickDefined(recorded, ['backbone', 'stem', 'precision']),
    ...pickDefined({ imageSize: recordedSide(recorded) }, ['imageSize']),
    batchSize: options.batchSize ?? 256,
    ...pickDefined(options, GIVEN),
  } as unknown as FittedConfig
  const session = await createSession({
    ...config,
    projectionHead: { hidden: 1, out: 1 },
    predictionHead: { hidden: 1 },
  })
  try {
    await session.importBackbone(path)
  } catch (error) {
    session.dispose()
    throw error
  }
  const open = (dataset: Dataset): Loader => {
    const { imageSize: size, seed } = config
    const pictures = openPictures(dataset, { ...config, cacheBytes: 0 })
    const workers = Math.min(workersOf(config), dataset.length)
    return new native.Loader(pictures, { size, seed, workers, onBadImage: 'omit' })
  }
  return { path, session, config, open, close: () => session.dispose() }
}

/** Features of every picture of a set. @throws AbortError when the signal ends it */
export async function embedDataset(
  { session, config, open }: Pick<Backbone, 'session' | 'config' | 'open'>,
  dataset: Dataset,
  signal?: AbortSignal | null,
): Promise<Embedded> {
  const loader = open(dataset)
  try {
    const dim = session.featureDim
    const features = new Float32Array(dataset.length * dim)
    const rows: number[] = []
    const bad: BadPicture[] = []
    const source = { loader, indices: naturals(dataset.length) }
    await embedEach(
      session,
      source,
      (part) => {
        features.set(part.features, rows.length * dim)
        rows.push(...part.places)
        bad.push(...part.bad)
      },
      signal,
      config.batchSize,
    )
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
  } finally {
    loader.dispose()
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
