/** The machine as `diagnose.ts` wants to know it. Nothing here opens a library or starts a process. */

import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Machine } from './facts.js'

/** The part of Node's diagnostic report that is read here. */
interface Report {
  readonly header: { readonly glibcVersionRuntime?: string }
  readonly sharedObjects: readonly string[]
}

/** Looks at the machine. */
export function readMachine(): Machine {
  const { header, sharedObjects } = report()
  const glibc = header.glibcVersionRuntime ?? null
  const open = sharedObjects.find((path) => /^(lib)?torch_cpu\./.test(basename(path)))
  return {
    system: `${process.platform}-${process.arch}`,
    libc: process.platform === 'linux' ? (glibc === null ? 'musl' : 'glibc') : null,
    glibc,
    cpu: cpuFlags(),
    torch: open === undefined ? null : { path: real(open), version: torchVersion(open) },
  }
}

function report(): Report {
  // Looking up the names of network addresses can take seconds. Node's typings do not know the switch yet.
  const options = process.report as { excludeNetwork?: boolean }
  const before = options.excludeNetwork
  options.excludeNetwork = true
  try {
    return process.report.getReport() as unknown as Report
  } finally {
    if (before !== undefined) options.excludeNetwork = before
  }
}

/** The first processor's flags: Linux on x64 alone needs and tells them. */
function cpuFlags(): ReadonlySet<string> | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') return null
  try {
    const line = /^flags\s*:\s*(.+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]
    return line === undefined ? null : new Set(line.split(' '))
  } catch {
    return null // A sandbox without /proc: the check is left out rather than guessed.
  }
}

/** The version of an opened libtorch: beside it stand our package's manifest or Python's `version.py`. */
function torchVersion(library: string): string | null {
  const torch = dirname(dirname(real(library)))
  const places: [string, RegExp][] = [
    [join(torch, '..', 'package.json'), /"version":\s*"([^"+]+)/],
    [join(torch, 'version.py'), /__version__\s*=\s*'([^'+]+)/],
    [join(torch, 'build-version'), /^([^+\s]+)/],
  ]
  for (const [path, pattern] of places) {
    const version = existsSync(path) ? pattern.exec(readFileSync(path, 'utf8'))?.[1] : undefined
    if (version !== undefined) return version
  }
  return null
}

function real(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}
