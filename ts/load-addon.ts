/**
 * Opens the addon: the one that a clone has built, or the one of the installed packages. Where it
 * cannot be opened, one error of code `LOAD` says why and what to do.
 */

import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { diagnose, explainFailure } from './load-addon/diagnose.js'
import type { Packages } from './load-addon/facts.js'
import { readMachine } from './load-addon/machine.js'
import { findPackages } from './load-addon/packages.js'
import { addonFile, type Platform } from './load-addon/platforms.js'

/** The opened addon and where it came from. */
export interface LoadedAddon {
  /** What the addon exports. */
  readonly exports: unknown
  /** The addon's file. */
  readonly path: string
  /** The package it is of, with its version; null in a clone. */
  readonly package: string | null
}

/** Opens the addon. Throws an `NnclrError` of code `LOAD`. */
export function loadAddon(): LoadedAddon {
  const machine = readMachine()
  const packages = findPackages(import.meta.url, machine.system)
  const problem = diagnose(machine, packages)
  if (problem !== null) throw problem
  const path = addonPath(packages)
  try {
    holdLibtorch(packages)
    const exports: unknown = createRequire(path)(path)
    const { addon } = packages
    return { exports, path, package: addon && `${addon.name}@${addon.version}` }
  } catch (cause) {
    throw explainFailure(packages, cause)
  }
}

/** The libtorch that is in use and the machine's C library, for reports. */
export function loadedFrom(): { libtorch: string | null; libc: string | null } {
  const { torch, libc, glibc } = readMachine()
  return { libtorch: torch?.path ?? null, libc: glibc === null ? libc : `${libc} ${glibc}` }
}

function addonPath({ built, addon, platform }: Packages): string {
  // `diagnose` has passed, so that there is one or the other.
  return built ?? join(addon?.folder ?? '', addonFile(platform as Platform))
}

/**
 * Opens the libtorch of the installed package by its full path before the addon asks for it by name.
 * The addon's own search path knows npm's flat tree and pnpm's store, but not what a workspace or
 * Plug'n'Play does with two versions, and `LD_LIBRARY_PATH` with another libtorch would come first.
 *
 * Node closes what is no addon again and says so; a library with unique C++ symbols, as libtorch has,
 * stays. Where a system would unload it, the addon's search path is what remains.
 */
function holdLibtorch({ libtorch, platform }: Packages): void {
  if (libtorch === null || platform === null) return
  const library = join(libtorch.folder, platform.library)
  // Windows looks for the libraries of libtorch itself in PATH. Not yet run there.
  if (process.platform === 'win32')
    process.env['PATH'] = `${dirname(library)};${process.env['PATH'] ?? ''}`
  try {
    // Not RTLD_GLOBAL: other addons must not find libtorch's copies of protobuf and ONNX.
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW)
  } catch (error) {
    if (!(error instanceof Error && error.message.includes('did not self-register'))) throw error
  }
}
