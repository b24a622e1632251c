/**
 * Why the addon cannot be opened here, with the one remedy that fits. Pure: the facts come in, an error
 * comes out. Everything that can be known beforehand is asked before a library is opened, because
 * the system's loader answers with a puzzle or with the end of the process.
 */

import { NnclrError } from '../errors.js'
import type { Installed, Machine, Packages } from './facts.js'
import { addonFile, addonPackage, libtorchPackage, PLATFORMS, type Platform } from './platforms.js'

/** The first thing that stands in the way, or null. */
export function diagnose(machine: Machine, packages: Packages): NnclrError | null {
  const { platform } = packages
  if (packages.own === null) return bundled(machine)
  if (platform === null) return unsupported(machine)
  return (
    unfitMachine(machine, platform, packages.glibc) ??
    (packages.built === null ? unfitPackages(packages, platform) : null) ??
    otherTorch(machine, packages)
  )
}

/** An error of code `LOAD`: what is wrong, then what to do. */
export function loadError(
  subject: string,
  problem: string,
  remedy: string,
  cause?: unknown,
): NnclrError {
  const message = `cannot load the native addon: ${problem}; ${remedy}`
  return new NnclrError('LOAD', subject, message, cause === undefined ? {} : { cause })
}

function bundled({ system }: Machine): NnclrError {
  const problem = `nnclr's code was copied into a bundle, which has no addon for ${system} beside it`
  return loadError('nnclr', problem, "mark 'nnclr' as external in the bundler and install it")
}

function unsupported({ system }: Machine): NnclrError {
  const built = Object.entries(PLATFORMS).filter(([, { isBuilt }]) => isBuilt)
  const names = built.map(([name]) => name).join(', ')
  return loadError(system, `there is none for ${system}`, `run it on ${names}`)
}

function unfitMachine(
  machine: Machine,
  platform: Platform,
  addonGlibc: string | null,
): NnclrError | null {
  const { system, libc, glibc, cpu } = machine
  if (libc === 'musl') {
    const problem = 'this Linux uses musl, and libtorch needs glibc'
    return loadError('musl', problem, 'use a system with glibc, in a container node:24-slim')
  }
  const needed = newer(platform.glibc, addonGlibc)
  if (needed !== null && glibc !== null && isOlder(glibc, needed)) {
    const problem = `this system has glibc ${glibc}, expected ${needed} or newer`
    const remedy =
      'use a newer release of it (Debian 10, Ubuntu 20.04 and RHEL 8 have 2.28, Debian 12, Ubuntu 22.04 and RHEL 9 have 2.34)'
    return loadError(`glibc ${glibc}`, problem, remedy)
  }
  const missing = cpu === null ? [] : platform.cpu.filter((flag) => !cpu.has(flag))
  if (missing.length > 0) {
    const problem = `the processor lacks ${missing.join(', ')}, which libtorch for ${system} needs`
    const remedy = 'use another processor; in a virtual machine let it see the host processor'
    return loadError(missing.join(', '), problem, remedy)
  }
  return null
}

function unfitPackages(packages: Packages, platform: Platform): NnclrError | null {
  const { own, addon, libtorch, wantedLibtorch } = packages
  if (addon === null) return absent(packages, platform, addonPackage(platform), own?.version)
  const name = libtorchPackage(platform)
  if (libtorch === null) return absent(packages, platform, name, wantedLibtorch)
  return (
    misfit(addon, own?.version ?? null) ??
    misfit(libtorch, wantedLibtorch) ??
    damaged(addon) ??
    damaged(libtorch) ??
    archived(addon)
  )
}

function absent(
  { foreign, lockfile }: Packages,
  platform: Platform,
  name: string,
  version: string | null | undefined,
): NnclrError {
  if (!platform.isBuilt) {
    const remedy = 'run it on linux-x64, or build it in a clone of the repository (CONTRIBUTING.md)'
    return loadError(name, `there is no package for ${platform.name} yet`, remedy)
  }
  const missing = `the package ${name} is not installed`
  if (foreign.length > 0) {
    const problem = `${missing}, but ${foreign.join(', ')} is: node_modules comes from another system`
    return loadError(name, problem, 'delete node_modules and install again on this system')
  }
  if (lockfile === null) {
    const remedy = `install it: npm install ${name}@${version ?? 'latest'}`
    return loadError(name, missing, remedy)
  }
  if (lockfile.lists) return loadError(name, missing, optionalAgain(lockfile.name))
  const problem = `${missing} and ${lockfile.name} does not list it: it was written on another system`
  const remedy = `delete node_modules and ${lockfile.name}, then install again`
  return loadError(name, problem, remedy)
}

/** The lockfile has it, so it was left out on purpose. */
function optionalAgain(lockfile: string): string {
  const [command, left] = lockfile.startsWith('pnpm')
    ? ['pnpm install', '--no-optional']
    : lockfile.startsWith('yarn')
      ? ['yarn install', '--ignore-optional']
      : ['npm install --include=optional', '--omit=optional']
  return `optional packages were left out (${left}): run ${command}, without that option`
}

function misfit({ name, version }: Installed, wanted: string | null): NnclrError | null {
  if (wanted === null || version === wanted) return null
  const problem = `${name} is ${version}, expected ${wanted}`
  return loadError(name, problem, `install that version: npm install ${name}@${wanted}`)
}

function damaged({ name, damage }: Installed): NnclrError | null {
  if (damage === null) return null
  const remedy = `delete node_modules/${name} and install again`
  return loadError(name, `${name} is damaged: ${damage}`, remedy)
}

function archived({ name, folder }: Installed): NnclrError | null {
  if (!/\.asar([\\/]|$)/.test(folder)) return null
  const problem = `${name} is inside an asar archive, where libraries cannot be opened`
  return loadError(name, problem, "add '**/node_modules/@nnclr/**' to asarUnpack")
}

/** Two libtorches of one version share a process; of two versions the second takes the first's symbols. */
function otherTorch({ torch }: Machine, { wantedLibtorch, libtorch }: Packages): NnclrError | null {
  const wanted = libtorch?.version ?? wantedLibtorch
  if (torch === null || wanted === null || torch.version === wanted) return null
  const problem = `this process already uses libtorch ${torch.version ?? 'of unknown version'} (${torch.path}), expected ${wanted}`
  return loadError('libtorch', problem, 'use isolate: true, or nnclr in a process of its own')
}

/** What the system's loader says, in the order in which it is looked for, and what to do. */
const LOADER_REMEDIES: readonly [RegExp, string][] = [
  [
    /native addons? (is|are) disabled|ERR_DLOPEN_DISABLED/i,
    'start Node without --no-addons, under --permission with --allow-addons',
  ],
  [/static TLS/, 'make the first call of nnclr before other native packages are loaded'],
  [
    /GLIBCXX|CXXABI|libstdc\+\+\.so/,
    "install a newer libstdc++ (package libstdc++6 of the system's distribution)",
  ],
  [/failed to map segment/, 'move node_modules to a file system that is not mounted noexec'],
  [/cannot allocate memory/i, 'make memory free: libtorch takes about 450 MB of address space'],
]

/** What went wrong when the library was opened all the same. */
export function explainFailure(packages: Packages, cause: unknown): NnclrError {
  const { platform, built, addon } = packages
  const reason = cause instanceof Error ? cause.message : String(cause)
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const subject = addon?.name ?? (platform === null ? 'native addon' : addonFile(platform))
  const again =
    built === null ? 'delete node_modules and install again' : 'build it anew: npm run setup'
  const known = LOADER_REMEDIES.find(([pattern]) => pattern.test(`${code} ${reason}`))
  return loadError(subject, reason.split('\n')[0] ?? reason, known?.[1] ?? again, cause)
}

function newer(one: string | null, other: string | null): string | null {
  if (one === null || other === null) return one ?? other
  return isOlder(one, other) ? other : one
}

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [wantedMajor = 0, wantedMinor = 0] = than.split('.').map(Number)
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor)
}
