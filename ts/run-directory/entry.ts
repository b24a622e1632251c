/** Whether a run may start in a directory, and what is removed for it. */

import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError, NnclrError } from '../errors.js'
import { attempt } from './attempt.js'
import { CHECKPOINTS, listCheckpoints } from './checkpoint-files.js'

/** The resolved configuration's file. */
export const CONFIG = 'config.json'
/** The lock's file; names that begin with it are the lock's business. */
export const LOCK = 'nnclr.lock'
/** Marks a config.json as ours, so that `overwrite` never removes another program's files. */
export const FORMAT = 'nnclr-run'

/** What a killed write of config.json leaves. */
const UNFINISHED_CONFIG = /^config\.json\.\d+\.tmp$/

/** Everything nnclr writes in the directory itself. */
const OWN_FILES: readonly RegExp[] = [
  /^config\.json$/,
  /^(metrics|timing|bad-images)\.jsonl$/,
  /^backbone\.safetensors$/,
  /^report\.html$/,
  // The suffix tells our event files from those of other programs.
  /^events\.out\.tfevents\..+\.nnclr$/,
]

/** What may be done with a directory that is not empty. */
export interface OpenOptions {
  readonly resume: boolean
  readonly overwrite: boolean
}

/** What was found and done. */
export interface Entry {
  /** Whether there is a run to go on from. */
  readonly resumed: boolean
  /** Files of an earlier run that were removed. */
  readonly removed: readonly string[]
  /** Names of files that are not nnclr's and were not touched. */
  readonly foreign: readonly string[]
}

/**
 * Applies the rules to a locked directory.
 *
 * @throws NnclrError CONFIG when they forbid the run, IO.
 */
export async function enter(out: string, { resume, overwrite }: OpenOptions): Promise<Entry> {
  const names = await namesThatCount(out)
  const foreign = names.filter((name) => !isOwn(name) && name !== CHECKPOINTS)
  if (names.length === 0) return { resumed: false, removed: [], foreign }
  const isOurs = await hasOurConfig(out)
  if (resume) {
    if (isOurs) return { resumed: true, removed: [], foreign }
    throw refusal(out, names, 'holds no run to resume')
  }
  if (!overwrite) {
    throw refusal(out, names, 'is not empty; resume: true goes on, overwrite: true starts anew')
  }
  if (isOurs) return { resumed: false, removed: await removeOwn(out, names), foreign }
  // Files with our names and no config.json of ours are somebody else's.
  if (foreign.length === names.length) return { resumed: false, removed: [], foreign }
  throw refusal(out, names, "holds files that are not nnclr's, which overwrite never removes")
}

/** Reads a JSON object; null without the file. @throws NnclrError IO, CHECKPOINT when broken. */
export async function readJson(path: string): Promise<Record<string, unknown> | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return null
    throw NnclrError.io('read', path, error)
  }
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch (error) {
    throw new NnclrError('CHECKPOINT', path, `${path} is no JSON`, { cause: error })
  }
  throw new NnclrError('CHECKPOINT', path, `${path} holds no object`)
}

/** Names in the directory without what a run that was killed at its very start leaves. */
async function namesThatCount(out: string): Promise<string[]> {
  const all = await attempt('read', out, () => readdir(out))
  const names = all.filter((name) => !name.startsWith(LOCK) && !UNFINISHED_CONFIG.test(name)).sort()
  if (names.length !== 1 || names[0] !== CHECKPOINTS) return names
  const folder = join(out, CHECKPOINTS)
  const inside = await attempt('read', folder, () => readdir(folder))
  return inside.length === 0 ? [] : names
}

function refusal(out: string, names: readonly string[], reason: string): NnclrError {
  const shown = names.slice(0, 5).join(', ') + (names.length > 5 ? ' ...' : '')
  return new NnclrError('CONFIG', 'out', `out: ${out} ${reason} (it holds ${shown})`)
}

function isOwn(name: string): boolean {
  return OWN_FILES.some((pattern) => pattern.test(name))
}

/** Removes a run's files, config.json last: a removal that was cut short can be repeated. */
async function removeOwn(out: string, names: readonly string[]): Promise<string[]> {
  const checkpoints = (await listCheckpoints(out)).map(({ path }) => path)
  const files = names.filter((name) => isOwn(name) && name !== CONFIG)
  const paths = [...checkpoints, ...[...files, CONFIG].map((name) => join(out, name))]
  for (const path of paths) await attempt('remove', path, () => rm(path, { force: true }))
  return paths
}

async function hasOurConfig(out: string): Promise<boolean> {
  try {
    return (await readJson(join(out, CONFIG)))?.['format'] === FORMAT
  } catch (error) {
    // No JSON: not ours, since ours is written atomically.
    if (error instanceof NnclrError && error.code === 'CHECKPOINT') return false
    throw error
  }
}
