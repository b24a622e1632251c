/** What decides whether the addon can be opened. `machine.ts` and `packages.ts` find it, `diagnose.ts` judges it. */

import type { Platform } from './platforms.js'

/** The machine and the process. */
export interface Machine {
  /** `process.platform` and `process.arch`: `linux-x64`. */
  readonly system: string
  /** The C library; null elsewhere than on Linux. */
  readonly libc: 'glibc' | 'musl' | null
  /** glibc's version, null where there is none. */
  readonly glibc: string | null
  /** Instruction sets by the names of `/proc/cpuinfo`; null when the system does not tell. */
  readonly cpu: ReadonlySet<string> | null
  /** The libtorch that this process has already opened, null when there is none. */
  readonly torch: { readonly path: string; readonly version: string | null } | null
}

/** One installed package. */
export interface Installed {
  readonly name: string
  readonly version: string
  readonly folder: string
  /** What is wrong with its files, null when all have their sizes. */
  readonly damage: string | null
}

/** Where the packages of this system would be. */
export interface Packages {
  /** The system's packages, null when there are none for it. */
  readonly platform: Platform | null
  /** This very package; null when nnclr's code was copied into a bundle. */
  readonly own: { readonly version: string; readonly folder: string } | null
  /** The addon that a clone has built, null in an installed package. */
  readonly built: string | null
  /** The package with the addon. */
  readonly addon: Installed | null
  /** The package with libtorch. */
  readonly libtorch: Installed | null
  /** The version of libtorch that the addon's package asks for. */
  readonly wantedLibtorch: string | null
  /** The glibc that the addon of the package was linked against; null when that is not known. */
  readonly glibc: string | null
  /** Packages of nnclr for other systems that are installed here. */
  readonly foreign: readonly string[]
  /** The lockfile of the project, and whether it has an entry for the missing package. */
  readonly lockfile: { readonly name: string; readonly lists: boolean } | null
}
