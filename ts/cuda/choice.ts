/**
 * Which folder the CUDA part of libtorch is taken from: the variable NNCLR_CUDA, else what
 * `nnclr cuda use` or `install` remembered for this user. The addon reads the variable at its first
 * CUDA query, so that the choice must be in the environment before.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { NnclrError } from '../errors.js'
import { type FolderProblem, folderProblem, inspectTorch } from './torch-folder.js'

/** The variable that names the folder, and wins over the remembered one. */
export const CUDA_VARIABLE = 'NNCLR_CUDA'

/** Where the choice came from. */
export type ChoiceSource = 'NNCLR_CUDA' | 'nnclr cuda use'

/** A choice and what is known of it before anything is opened. */
export interface CudaChoice {
  /** The folder as it was named. */
  readonly folder: string
  readonly source: ChoiceSource
  /** Why it may not be opened; null when it may. */
  readonly problem: FolderProblem | null
}

/** An environment, as `process.env` is one. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The user's folders. The XDG specification: a relative value is invalid and must be ignored. */
function userFolder(
  kind: 'config' | 'data',
  env: Environment,
  platform: NodeJS.Platform,
  home: string,
): string {
  if (platform === 'win32') {
    const [variable, name] =
      kind === 'config' ? (['APPDATA', 'Roaming'] as const) : (['LOCALAPPDATA', 'Local'] as const)
    return join(env[variable] || join(home, 'AppData', name), 'nnclr')
  }
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'nnclr')
  const [variable, name] =
    kind === 'config'
      ? (['XDG_CONFIG_HOME', '.config'] as const)
      : (['XDG_DATA_HOME', join('.local', 'share')] as const)
  const given = env[variable]
  const base = given !== undefined && isAbsolute(given) ? given : join(home, name)
  return join(base, 'nnclr')
}

/** The file that remembers the choice. */
export function choiceFile(
  env: Environment = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  return join(userFolder('config', env, platform, home), 'cuda.json')
}

/** The folder that `nnclr cuda install` fills its own folder into. */
export function dataFolder(
  env: Environment = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  return userFolder('data', env, platform, home)
}

/** The remembered folder; null when there is none. Never throws: it is read at every start. */
export function savedFolder(file: string = choiceFile()): string | null {
  try {
    const { folder } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    return typeof folder === 'string' && folder !== '' ? folder : null
  } catch {
    // Not there, or damaged: as if nothing had been chosen. `nnclr cuda status` says so.
    return null
  }
}

/** Remembers a folder, or forgets it. @throws NnclrError IO */
export function saveFolder(folder: string | null, file: string = choiceFile()): void {
  try {
    if (folder === null) {
      rmSync(file, { force: true })
      return
    }
    mkdirSync(dirname(file), { recursive: true })
    const draft = `${file}.${process.pid}.tmp`
    writeFileSync(draft, `${JSON.stringify({ folder })}\n`)
    renameSync(draft, file)
  } catch (error) {
    throw NnclrError.io('write', file, error)
  }
}

/** What is chosen; null when nothing is. */
export function chooseCuda(
  env: Environment = process.env,
  saved: string | null = savedFolder(),
): CudaChoice | null {
  const named = env[CUDA_VARIABLE]
  // An empty variable turns the remembered folder off.
  if (named === '') return null
  const folder = named ?? saved
  if (folder === null) return null
  const source = folder === saved ? 'nnclr cuda use' : 'NNCLR_CUDA'
  return { folder, source, problem: folderProblem(inspectTorch(folder)) }
}

/** As it was when the addon was loaded; `undefined` before. */
let applied: CudaChoice | null | undefined

/**
 * Puts the choice where the addon reads it. A folder with a problem is kept from it: opening the
 * libraries of another torch could take the process down. The variable is then empty and not gone,
 * because processes and threads that inherit it would otherwise take the remembered folder.
 */
export function applyCudaChoice(
  env: Record<string, string | undefined> = process.env,
  saved: string | null = savedFolder(),
): void {
  applied = chooseCuda(env, saved)
  if (applied === null) return
  const found = applied.problem === null ? inspectTorch(applied.folder) : null
  env[CUDA_VARIABLE] = found !== null && 'lib' in found ? found.lib : ''
}

/** The choice that this process works with. */
export function appliedChoice(): CudaChoice | null {
  return applied === undefined ? chooseCuda() : applied
}
