/**
 * A folder with torch in it, as Python's package, as its `lib`, or as `nnclr cuda install` lays it
 * out: where its libraries are and which torch it is. Synchronous, because the addon reads the
 * choice once, before its first query.
 */

import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/** The libtorch that the addon is linked with; the CUDA part must be of exactly this version. */
export const TORCH_VERSION = '2.13.0'

/** Its CUDA part; opening this one file opens all it needs. */
export const CUDA_LIBRARY = 'libtorch_cuda.so'

/** What is in a folder. */
export interface TorchFolder {
  /** The folder that holds the libraries, absolute. */
  readonly lib: string
  /** Version without its build suffix, for example `2.13.0`; null when nothing tells it. */
  readonly version: string | null
  /** The CUDA it was built with, for example `13.0`; null for a CPU build or when nothing tells it. */
  readonly cuda: string | null
}

/** Why a folder cannot be used. */
export interface FolderProblem {
  /** `folder`: not there or no torch in it; `version`: another torch, or one of unknown version. */
  readonly code: 'folder' | 'version'
  /** In words, with the folder. */
  readonly reason: string
}

/**
 * Looks for torch in a folder: `site-packages`, `site-packages/torch`, its `lib`, or any folder
 * that holds `libtorch_cuda.so`.
 */
export function inspectTorch(folder: string): TorchFolder | FolderProblem {
  const root = resolve(folder)
  if (!isFolder(root)) return { code: 'folder', reason: `${root} is not a folder` }
  const places = [root, join(root, 'lib'), join(root, 'torch', 'lib')]
  const lib = places.find((place) => existsSync(join(place, CUDA_LIBRARY)))
  if (lib !== undefined) return { lib, ...readVersion(lib) }
  const cpu = places.find((place) => existsSync(join(place, 'libtorch_cpu.so')))
  const reason =
    cpu === undefined
      ? `${root} holds no ${CUDA_LIBRARY}`
      : `the torch in ${root} is a build for the CPU alone: it has no ${CUDA_LIBRARY}`
  return { code: 'folder', reason }
}

/** The problem with a folder for this addon, null when it may be opened. */
export function folderProblem(found: TorchFolder | FolderProblem): FolderProblem | null {
  if ('code' in found) return found
  if (found.version === TORCH_VERSION) return null
  const which =
    found.version === null
      ? 'has no version.py beside it that tells its version'
      : `is of torch ${found.version}`
  return {
    code: 'version',
    reason: `${found.lib} ${which}, and nnclr needs exactly ${TORCH_VERSION}`,
  }
}

/** torch/version.py lies beside torch/lib in Python's package and in our own layout. */
function readVersion(lib: string): Pick<TorchFolder, 'version' | 'cuda'> {
  let text: string
  try {
    text = readFileSync(join(dirname(lib), 'version.py'), 'utf8')
  } catch {
    // Another layout, for example the zip of libtorch: of an unknown version nothing is opened.
    return { version: null, cuda: null }
  }
  const version = /^__version__\s*=\s*'([^'+]+)/m.exec(text)?.[1] ?? null
  const cuda = /^cuda\b[^=]*=\s*'([^']+)'/m.exec(text)?.[1] ?? null
  return { version, cuda }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
