/** Everything a run needs before its first step: directory, pictures, session, and where it stands. */

import { type Restored, restoreNewest } from '../checkpoint.js'
import {
  configRecord,
  type FittedConfig,
  fitToSet,
  type ResolvedConfig,
  resolveConfig,
} from '../config.js'
import { diagnoseCuda, unusedGpuNote } from '../cuda/diagnosis.js'
import type { Dataset } from '../data/dataset.js'
import { openDataset } from '../data/open-dataset.js'
import { isAbort, NnclrError } from '../errors.js'
import type { EmbedSource } from '../evaluate.js'
import { openPictures, viewOptions } from '../loader.js'
import { type Loader, native, type PictureSet, type Session } from '../native.js'
import { RunDirectory } from '../run-directory.js'
import { naturals, splitHoldout, stepsPerEpoch, subsetOf } from '../sampler.js'
import { createSession, workersOf } from '../session.js'
import { restoreSettings } from './restore-settings.js'

/** What validation compares. */
export interface Validation {
  readonly references: EmbedSource
  readonly queries: EmbedSource
  readonly classes: number
  /** Whether the queries are another set than the training pictures'. */
  readonly isSeparate: boolean
}

/** A run that is ready to go. */
export interface Prepared {
  readonly config: FittedConfig
  readonly directory: RunDirectory
  readonly session: Session
  readonly dataset: Dataset
  /** Places of the training pictures in the set. */
  readonly indices: Uint32Array
  readonly loader: Loader
  readonly stepsPerEpoch: number
  readonly validation: Validation | null
  readonly restored: Restored | null
  /** What a person should know, in words. */
  readonly notes: readonly string[]
  /** Lets everything go. */
  close(): Promise<void>
}

/** Opens everything; what was opened is closed again when a later part fails. */
export async function prepare(input: unknown): Promise<Prepared> {
  const closers: (() => unknown)[] = []
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    return { ...(await open(input, closers)), close }
  } catch (error) {
    await close()
    throw isAbort(error) ? error : NnclrError.from(error)
  }
}

async function open(input: unknown, closers: (() => unknown)[]): Promise<Omit<Prepared, 'close'>> {
  const notes: string[] = []
  const asked = resolveConfig(input)
  const dataset = await openDataset(asked.data)
  const directory = await RunDirectory.open(asked.out, asked)
  closers.push(() => directory.close())
  const recorded = directory.resumed ? await directory.readConfig() : null
  const resolved = recorded === null ? asked : restoreSettings(input, recorded, notes)
  notes.push(...dataset.notes)

  const { train, references, queries } = await split(resolved, dataset)
  const config = fitToSet(resolved, train.length)
  const pictures = openPictures(dataset, config)
  const loader = new native.Loader(pictures, {
    views: viewOptions(config.transform),
    size: config.imageSize,
    seed: config.seed,
    workers: workersOf(config),
    onBadImage: config.onBadImage === 'skip' ? 'substitute' : 'error',
    members: train,
  })
  closers.push(() => loader.dispose())

  const session = await createSession(config)
  closers.push(() => session.dispose())
  notes.push(...(await gpuNotes(config.device, session.device)))
  const restored = directory.resumed ? await restoreNewest(directory, session) : null
  if (restored === null) {
    // Killed before its first checkpoint: the run starts anew, and so do its files.
    if (directory.resumed) await directory.truncate({ metrics: 0, timing: 0, badImages: 0 })
    if (config.weights !== null) await startFrom(config.weights, session, notes)
  } else {
    await goOnFrom(restored, directory, dataset, notes)
  }
  await directory.writeConfig(await record(config, resolved, session, dataset, train.length))

  const plain = (set: PictureSet): Loader => evaluationLoader(set, config, closers)
  const validation =
    queries === null
      ? null
      : {
          references: { loader: plain(pictures), indices: references },
          queries: {
            loader: plain(
              queries.dataset === dataset ? pictures : openPictures(queries.dataset, config),
            ),
            indices: queries.indices,
          },
          classes: queries.classes,
          isSeparate: queries.dataset !== dataset,
        }
  const steps = stepsPerEpoch(train.length, config.batchSize, config.dropLast)
  return {
    config,
    directory,
    session,
    dataset,
    indices: train,
    loader,
    stepsPerEpoch: steps,
    validation,
    restored,
    notes,
  }
}

interface Split {
  readonly train: Uint32Array
  readonly references: Uint32Array
  readonly queries: { dataset: Dataset; indices: Uint32Array; classes: number } | null
}

/** Training pictures, and for validation the references among them and the queries. */
async function split(config: ResolvedConfig, dataset: Dataset): Promise<Split> {
  const { validation, subset, seed, evaluation } = config
  const held = typeof validation === 'number' && validation > 0
  const parts = held
    ? splitHoldout(dataset.length, validation, seed)
    : { train: naturals(dataset.length), holdout: new Uint32Array() }
  const train = subsetOf(parts.train, subset, seed)
  const share = evaluation.samples === 'all' ? 1 : Math.min(1, evaluation.samples / train.length)
  const references = subsetOf(train, share, seed)
  if (validation === null || validation === 0) return { train, references, queries: null }
  const other = held ? dataset : await openDataset(validation as Exclude<typeof validation, number>)
  const indices = held ? parts.holdout : naturals(other.length)
  const classes = classCount(dataset, other)
  return { train, references, queries: { dataset: other, indices, classes } }
}

/** Classes of both sets, which must mean the same ones. */
function classCount(dataset: Dataset, other: Dataset): number {
  if (dataset.labels === null || other.labels === null) {
    const which = dataset.labels === null ? 'data' : 'validation'
    const expected = 'labels (sub-folders by class, or a label a sample): kNN compares classes'
    throw NnclrError.config([{ field: which, value: 'pictures without labels', expected }])
  }
  const [ours, theirs] = [dataset.classes?.join('\n'), other.classes?.join('\n')]
  if (ours !== undefined && theirs !== undefined && ours !== theirs) {
    const expected = `the classes of data: ${dataset.classes?.join(', ')}`
    throw NnclrError.config([
      { field: 'validation', value: `classes ${other.classes?.join(', ')}`, expected },
    ])
  }
  return 1 + Math.max(maxOf(dataset.labels), maxOf(other.labels))
}

function maxOf(labels: Int32Array): number {
  return labels.reduce((most, label) => Math.max(most, label), 0)
}

function evaluationLoader(
  pictures: PictureSet,
  config: FittedConfig,
  closers: (() => unknown)[],
): Loader {
  const loader = new native.Loader(pictures, {
    size: config.imageSize,
    seed: config.seed,
    workers: workersOf(config),
    onBadImage: config.onBadImage === 'skip' ? 'omit' : 'error',
  })
  closers.push(() => loader.dispose())
  return loader
}

/** Why `auto` came to the CPU, where someone may have expected a GPU. */
async function gpuNotes(asked: string, used: string): Promise<string[]> {
  if (asked !== 'auto' || used !== 'cpu') return []
  const note = unusedGpuNote(diagnoseCuda((await native.nativeInfo()).cudaReason))
  return note === null ? [] : [note]
}

async function startFrom(weights: string, session: Session, notes: string[]): Promise<void> {
  const unexpected = await session.importBackbone(weights)
  if (unexpected.length > 0) {
    const shown = unexpected.slice(0, 5).join(', ') + (unexpected.length > 5 ? ' ...' : '')
    notes.push(
      `${weights} also holds ${unexpected.length} tensors that are not the backbone's: ${shown}`,
    )
  }
}

async function goOnFrom(
  { metadata, broken }: Restored,
  directory: RunDirectory,
  dataset: Dataset,
  notes: string[],
): Promise<void> {
  for (const error of broken) notes.push(`${error.message}; going on from the checkpoint before it`)
  if (metadata.fingerprint !== dataset.fingerprint) {
    notes.push('data is another set of pictures than the one the run began with')
  }
  for (const path of await directory.truncate(metadata.position)) {
    notes.push(`${path} lacks lines that the checkpoint had counted`)
  }
}

/** config.json: what was asked for (a resume starts from it) and what it came to. */
async function record(
  config: FittedConfig,
  resolved: ResolvedConfig,
  session: Session,
  dataset: Dataset,
  pictures: number,
): Promise<Record<string, unknown>> {
  const { version, torch, threads } = await native.nativeInfo()
  return {
    versions: { nnclr: version, libtorch: torch, node: process.versions.node },
    config: configRecord(resolved),
    settled: {
      batchSize: config.batchSize,
      lr: config.lr,
      memoryBank: config.memoryBank,
      device: session.device,
      threads,
      pictures,
      dataset: dataset.kind,
      fingerprint: dataset.fingerprint,
    },
  }
}
