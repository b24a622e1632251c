/** Where the packages are that hold machine code: in a clone's `binding/`, or installed beside nnclr. */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Installed, Packages } from './facts.js'
import { addonFile, addonPackage, libtorchPackage, PLATFORMS, type Platform } from './platforms.js'

/** A package's manifest, as far as it is read here; `nnclr` is written when it is packed. */
interface Manifest {
  readonly name?: string
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly nnclr?: {
    readonly sizes?: Readonly<Record<string, number>>
    readonly glibc?: string
  }
}

/** Lockfiles, and how an entry of a package begins in each. */
const LOCKFILES: readonly [string, (name: string) => string][] = [
  ['package-lock.json', (name) => `"node_modules/${name}"`],
  ['npm-shrinkwrap.json', (name) => `"node_modules/${name}"`],
  ['pnpm-lock.yaml', (name) => `${name}@`],
  ['yarn.lock', (name) => `${name}@`],
]

/**
 * Looks for the packages of a system.
 * @param module the URL of a file one folder below nnclr's own (`dist/` or `ts/`); a bundle has another
 */
export function findPackages(module: string | undefined, system: string): Packages {
  const platform = PLATFORMS[system] ?? null
  const own = module === undefined ? null : ownPackage(fileURLToPath(module))
  const nothing = {
    built: null,
    addon: null,
    libtorch: null,
    wantedLibtorch: null,
    glibc: null,
    lockfile: null,
  }
  if (platform === null || own === null || module === undefined)
    return { ...nothing, platform, own, foreign: [] }
  const built = join(dirname(fileURLToPath(module)), 'binding', addonFile(platform))
  if (existsSync(built)) return { ...nothing, platform, own, built, foreign: [] }

  const name = libtorchPackage(platform)
  const addon = find(addonPackage(platform), own.folder, [addonFile(platform)])
  const libtorch = addon && find(name, addon.folder, [platform.library])
  const missing = addon === null ? addonPackage(platform) : name
  const manifest = addon === null ? {} : readManifest(addon.folder)
  return {
    platform,
    own,
    built: null,
    addon,
    libtorch,
    wantedLibtorch: manifest.dependencies?.[name] ?? null,
    glibc: manifest.nnclr?.glibc ?? null,
    foreign: foreignPackages(platform, own.folder),
    lockfile: libtorch === null ? findLockfile(missing, own.folder) : null,
  }
}

function ownPackage(file: string): Packages['own'] {
  const folder = dirname(dirname(file))
  const { name, version } = readManifest(folder)
  return name === 'nnclr' && version !== undefined ? { version, folder } : null
}

/** A package as Node finds it from a folder, with its symbolic links resolved. */
function find(name: string, from: string, files: readonly string[]): Installed | null {
  const folder = resolve(name, from)
  if (folder === null) return null
  const { version = 'unknown', nnclr } = readManifest(folder)
  const sizes = nnclr?.sizes ?? Object.fromEntries(files.map((file) => [file, null]))
  return { name, version, folder, damage: damageOf(folder, sizes) }
}

function resolve(name: string, from: string): string | null {
  try {
    const manifest = createRequire(join(from, 'package.json')).resolve(`${name}/package.json`)
    // Electron shows an archive as a folder, but the system's loader cannot look into it.
    const unpacked = dirname(manifest).replace(/\.asar(?=[\\/])/, '.asar.unpacked')
    return existsSync(unpacked) ? unpacked : dirname(manifest)
  } catch {
    return null
  }
}

/** A cut library ends the process when it is opened, so that sizes are compared first. */
function damageOf(folder: string, sizes: Readonly<Record<string, number | null>>): string | null {
  for (const [file, size] of Object.entries(sizes)) {
    const path = join(folder, file)
    const found = statSync(path, { throwIfNoEntry: false })?.size
    if (found === undefined) return `${path} is missing`
    if (size !== null && found !== size) return `${path} has ${found} bytes instead of ${size}`
  }
  return null
}

/** Packages for other systems, in any `node_modules/@nnclr` that Node would look into. */
function foreignPackages(platform: Platform, from: string): string[] {
  const others = Object.values(PLATFORMS).filter(({ name }) => name !== platform.name)
  const scopes = ancestors(from).map((folder) => join(folder, 'node_modules', '@nnclr'))
  const found = scopes.filter((scope) => existsSync(scope)).flatMap((scope) => readdirSync(scope))
  return others.filter(({ name }) => found.includes(name)).map(addonPackage)
}

function findLockfile(missing: string, from: string): Packages['lockfile'] {
  for (const folder of ancestors(from)) {
    for (const [name, entry] of LOCKFILES) {
      const path = join(folder, name)
      if (existsSync(path))
        return { name, lists: readFileSync(path, 'utf8').includes(entry(missing)) }
    }
  }
  return null
}

function ancestors(folder: string): string[] {
  const above = dirname(folder)
  return above === folder ? [folder] : [folder, ...ancestors(above)]
}

function readManifest(folder: string): Manifest {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
  } catch {
    return {} // No manifest, or a broken one: nobody's package.
  }
}
