/** The NVIDIA driver of this machine, as far as it can be seen without opening it. */

import { readFileSync } from 'node:fs'

/** Where the kernel module tells its version on Linux. */
const VERSION_FILE = '/proc/driver/nvidia/version'

/** Oldest driver branch for a CUDA major version on Linux, from the toolkit's release notes. */
const OLDEST_BRANCH: Readonly<Record<string, number>> = { '12': 525, '13': 580 }

/** The driver's version, for example `580.65.06`; null when none is seen. */
export function driverVersion(file: string = VERSION_FILE): string | null {
  try {
    return parseDriverVersion(readFileSync(file, 'utf8'))
  } catch {
    // No driver, another system, or a container without it.
    return null
  }
}

/** From the line of the closed module, and of the open one ("... Module for x86_64  580.65.06"). */
export function parseDriverVersion(text: string): string | null {
  return /Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)/.exec(text)?.[1] ?? null
}

/** The branch that a driver must at least be of for a CUDA version; null when it is not known. */
export function oldestBranch(cuda: string | null): number | null {
  return OLDEST_BRANCH[cuda?.split('.')[0] ?? ''] ?? null
}
