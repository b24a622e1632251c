/** Checkpoints of a run: what they say beside the tensors, saving with retention, finding the newest. */

import { configRecord, type FittedConfig } from './config.js'
import { NnclrError } from './errors.js'
import { native, type Session } from './native.js'
import type { RunDirectory, RunPosition } from './run-directory.js'
import type { NeighbourWarmupState } from './train/neighbour-warmup.js'
import type { Sums } from './train/sums.js'

/** Everything about a run that is not a tensor. */
export interface CheckpointMetadata {
  /** nnclr's version. */
  readonly version: string
  /** The configuration, without ranks. */
  readonly config: Record<string, unknown>
  /** Finished epochs. */
  readonly epoch: number
  /** Finished steps of the whole run. */
  readonly step: number
  /** Finished steps of the epoch under way. */
  readonly stepInEpoch: number
  /** The epoch's sums so far, so that its means come out the same after a resume. */
  readonly sums: Sums
  /** From which step on neighbours are in use, and what decides it. */
  readonly neighbourWarmup: NeighbourWarmupState
  /** Mean loss of the last finished epoch, null before the first. */
  readonly loss: number | null
  /** Last kNN score, null without. */
  readonly knnTop1: number | null
  /** Finished steps when it was taken, -1 before the first. */
  readonly evaluatedAt: number
  /** Lengths of the run directory's growing files. */
  readonly position: RunPosition
  /** Unreadable pictures met so far, by their place in the set. */
  readonly bad: readonly number[]
  /** Tells another data set. */
  readonly fingerprint: string
}

/** Where a run stands. */
export type Standing = Omit<CheckpointMetadata, 'version' | 'config' | 'position'>

/**
 * Side at which a recorded training compares pictures: that of its views where it does not say. Of an
 * exported backbone the only side it knows.
 */
export function recordedSide(config: Record<string, unknown>): number | undefined {
  const { evaluation, imageSize } = config as Partial<
    Pick<FittedConfig, 'evaluation' | 'imageSize'>
  >
  return evaluation?.imageSize ?? imageSize
}

/**
 * Saves session and standing; only then are the oldest checkpoints beyond `keep` removed.
 *
 * @returns the path.
 * @throws NnclrError IO when it cannot be written; the older checkpoints are untouched.
 */
export async function saveCheckpoint(
  directory: RunDirectory,
  session: Session,
  config: FittedConfig,
  standing: Standing,
): Promise<string> {
  const path = directory.checkpointPath(standing.epoch, standing.step)
  const { version } = await native.nativeInfo()
  const position = await directory.position()
  // It holds no ranks: any number of them can go on from it.
  const { devices: _devices, distributed: _distributed, ...settings } = configRecord(config)
  const metadata = { version, config: settings, position, ...standing }
  await session.save(path, JSON.stringify(metadata satisfies CheckpointMetadata))
  await directory.removeOldCheckpoints(config.checkpoint.keep, standing.step)
  return path
}

/** A checkpoint that was taken over, and those before it that could not be. */
export interface Restored {
  readonly path: string
  readonly metadata: CheckpointMetadata
  readonly broken: readonly NnclrError[]
}

/**
 * Takes the newest checkpoint over that is whole and fits the session; null when there is none.
 *
 * @throws NnclrError CHECKPOINT when there are some and none can be used.
 */
export async function restoreNewest(
  directory: RunDirectory,
  session: Session,
): Promise<Restored | null> {
  const broken: NnclrError[] = []
  for (const { path } of await directory.checkpoints()) {
    try {
      const metadata = JSON.parse(await session.load(path)) as CheckpointMetadata
      return { path, metadata, broken }
    } catch (error) {
      broken.push(asCheckpointError(error, path))
    }
  }
  const newest = broken[0]
  if (newest === undefined) return null
  const message = `no checkpoint in ${directory.path} can be used; the newest: ${newest.message}`
  throw new NnclrError('CHECKPOINT', directory.path, message, { cause: newest })
}

/** Reads a checkpoint's metadata, verifying the whole file. @throws NnclrError CHECKPOINT, IO. */
export async function readMetadata(path: string): Promise<CheckpointMetadata> {
  try {
    return JSON.parse(await native.readCheckpoint(path)) as CheckpointMetadata
  } catch (error) {
    throw asCheckpointError(error, path)
  }
}

function asCheckpointError(error: unknown, path: string): NnclrError {
  const known = NnclrError.from(error, path)
  if (known instanceof NnclrError && known.code !== 'PANIC') return known
  return new NnclrError('CHECKPOINT', path, `checkpoint ${path}: ${known.message}`, {
    cause: error,
  })
}
