/** The checkpoints of a run directory by their names, which sort as they were made. */

import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError, NnclrError } from '../errors.js'
import { attempt } from './attempt.js'

/** The folder of checkpoints in a run directory. */
export const CHECKPOINTS = 'checkpoints'

const CHECKPOINT = /^epoch-(\d{6,})-step-(\d{8,})\.safetensors$/
/** What a killed save leaves. */
const UNFINISHED = /^epoch-\d+-step-\d+\.safetensors\..+$/

/** A checkpoint by its name. */
export interface CheckpointFile {
  readonly path: string
  readonly epoch: number
  readonly step: number
}

/** The path of the checkpoint of this epoch and step. */
export function checkpointPath(out: string, epoch: number, step: number): string {
  const epochs = String(epoch).padStart(6, '0')
  const steps = String(step).padStart(8, '0')
  return join(out, CHECKPOINTS, `epoch-${epochs}-step-${steps}.safetensors`)
}

/**
 * The checkpoints of a run directory, the newest first; empty when there are none.
 *
 * @throws NnclrError IO.
 */
export async function listCheckpoints(out: string): Promise<CheckpointFile[]> {
  const folder = join(out, CHECKPOINTS)
  const files: CheckpointFile[] = []
  for (const name of await namesIn(folder)) {
    const match = CHECKPOINT.exec(name)
    if (match === null) continue
    files.push({ path: join(folder, name), epoch: Number(match[1]), step: Number(match[2]) })
  }
  return files.sort((a, b) => b.step - a.step || b.epoch - a.epoch)
}

/** Removes what killed saves left. @throws NnclrError IO. */
export async function removeUnfinished(out: string): Promise<void> {
  const folder = join(out, CHECKPOINTS)
  for (const name of await namesIn(folder)) {
    if (!UNFINISHED.test(name)) continue
    const path = join(folder, name)
    await attempt('remove', path, () => rm(path, { force: true }))
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return []
    throw NnclrError.io('read', folder, error)
  }
}
