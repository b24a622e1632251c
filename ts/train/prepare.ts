/**
 * Everything a run needs before its first step: the other ranks, directory, pictures, session, and where
 * it stands.
 */

import { type FittedConfig, fitToSet, resolveConfig } from '../config.js'
import { diagnoseCuda, unusedGpuNote } from '../cuda/diagnosis.js'
import type { Dataset } from '../data/dataset.js'
import { openDataset } from '../data/open-dataset.js'
import { agree, factsOf } from '../distributed/agreement.js'
import { type RankEnvironment, rankEnvironment } from '../distributed/environment.js'
import { joinRanks } from '../distributed/join-ranks.js'
import { coresOf, type MachineSettings, machineOf } from '../distributed/rank-machine.js'
import type { Ranks } from '../distributed/ranks.js'
import { openShared, type SharedDirectory } from '../distributed/shared-directory.js'
import { isAbort, NnclrError } from '../errors.js'
import type { EmbedSource } from '../evaluate.js'
import { openPictures, viewOptions } from '../loader.js'
import { type Loader, native, type PictureSet, type Session } from '../native.js'
import { createSession, precisionOf, workersOf } from '../session.js'
import { type Beginning, begin, configFile } from './begin.js'
import { changedSteps, type EpochPlan, planEpoch } from './epoch-plan.js'
import { restoreSettings } from './restore-settings.js'
import { type Split, split } from './split.js'

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
  readonly ranks: Ranks
  readonly directory: SharedDirectory
  readonly session: Session
  readonly dataset: Dataset
  /** Places of the training pictures in the set. */
  readonly indices: Uint32Array
  readonly loader: Loader
  readonly plan: EpochPlan
  readonly validation: Validation | null
  readonly restored: Beginning | null
  /** What a person should know, in words. */
  readonly notes: readonly string[]
  /** Lets everything go; a failure's reason is told to the other ranks. */
  close(reason?: string): Promise<void>
}

/** Lets a part go. */
type Closer = (reason?: string) => unknown

/** Opens everything; what was opened is closed again when a later part fails. */
export async function prepare(input: unknown): Promise<Prepared> {
  const closers: Closer[] = []
  const close = async (reason?: string): Promise<void> => {
    let failure: unknown = null
    for (const closer of closers.splice(0).reverse()) {
      try {
        await closer(reason ?? (failure === null ? undefined : NnclrError.from(failure).message))
      } catch (error) {
        // What cannot be closed must not keep the rest open, and the other ranks waiting.
        failure ??= error
      }
    }
    if (failure !== null) throw failure
  }
  try {
    return { ...(await open(input, closers)), close }
  } catch (error) {
    const known = isAbort(error) ? error : NnclrError.from(error)
    // The cause is what the caller must see, whatever closing fails with.
    await close(known.message).catch(() => {})
    throw known
  }
}

async function open(input: unknown, closers: Closer[]): Promise<Omit<Prepared, 'close'>> {
  const notes: string[] = []
  const asked = resolveConfig(input)
  const environment = rankEnvironment(process.env)
  const machine = await machineOf(asked, environment)
  const ranks = await joinRanks(environment, asked, machine.device)
  closers.push((reason) => ranks.leave(reason))
  const dataset = await openDataset(asked.data)
  const directory = await openShared(ranks, asked.out, asked)
  closers.push(() => directory.close())
  const recorded = await directory.use(async (own) => (own.resumed ? own.readConfig() : null))
  const resolved =
    recorded === null ? asked : restoreSettings(input, recorded, notes, ranks.worldSize)
  notes.push(...dataset.notes)

  const parts = await split(resolved, dataset)
  const config = fitToSet(resolved, parts.train.length)
  const settled = { ...config, ...settledMachine(config, machine, environment) }
  const sets = [dataset, parts.queries?.dataset ?? null]
  const precision = precisionOf(settled)
  await agree(ranks, await factsOf(config, sets, { device: settled.device, precision }))
  const plan = planEpoch(config, parts.train.length, ranks.worldSize)
  notes.push(...plan.notes)
  const before = ranksBefore(recorded)
  if (before !== null) {
    notes.push(...changedSteps(config, parts.train.length, before, ranks.worldSize))
  }

  const pictures = openPictures(dataset, config)
  const loader = trainingLoader(pictures, settled, parts.train, closers)
  const session = await createSession(settled)
  closers.push(() => session.dispose())
  notes.push(...(await gpuNotes(config.device, session.device)))
  const counts = { pictures: parts.train.length, ranks: ranks.worldSize }
  const restored = await directory.use(async (own) => {
    const beginning = await begin(own, session, config, dataset, notes)
    await own.writeConfig(await configFile(config, resolved, session, dataset, counts))
    return beginning
  })
  await ranks.join(session, config)
  const validation = openValidation(parts, dataset, pictures, settled, closers)
  const indices = parts.train
  return {
    config,
    ranks,
    directory,
    session,
    dataset,
    indices,
    loader,
    plan,
    validation,
    restored,
    notes,
  }
}

/** How many ranks a run had when it was last begun; null for a new one. */
function ranksBefore(recorded: Record<string, unknown> | null): number | null {
  if (recorded === null) return null
  const { ranks } = (recorded['settled'] ?? {}) as { readonly ranks?: unknown }
  // A run of before there were ranks has no record of it.
  return typeof ranks === 'number' ? ranks : 1
}

/** The machine's settings of a resumed run may be those recorded, and not those of this call. */
function settledMachine(
  config: FittedConfig,
  machine: MachineSettings,
  environment: RankEnvironment | null,
): MachineSettings {
  // The ranks have met on this device, whatever the run was on before.
  const { device } = environment === null ? config : machine
  return { ...coresOf(config, environment), device }
}

function trainingLoader(
  pictures: PictureSet,
  config: FittedConfig,
  members: Uint32Array,
  closers: Closer[],
): Loader {
  const loader = new native.Loader(pictures, {
    views: viewOptions(config.transform),
    size: config.imageSize,
    seed: config.seed,
    workers: workersOf(config),
    onBadImage: config.onBadImage === 'skip' ? 'substitute' : 'error',
    members,
  })
  closers.push(() => loader.dispose())
  return loader
}

function openValidation(
  { references, queries }: Split,
  dataset: Dataset,
  pictures: PictureSet,
  config: FittedConfig,
  closers: Closer[],
): Validation | null {
  if (queries === null) return null
  const isSeparate = queries.dataset !== dataset
  const others = isSeparate ? openPictures(queries.dataset, config) : pictures
  return {
    references: { loader: evaluationLoader(pictures, config, closers), indices: references },
    queries: { loader: evaluationLoader(others, config, closers), indices: queries.indices },
    classes: queries.classes,
    isSeparate,
  }
}

function evaluationLoader(pictures: PictureSet, config: FittedConfig, closers: Closer[]): Loader {
  const loader = new native.Loader(pictures, {
    size: config.evaluation.imageSize,
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
