// A libtorch of the user's own: LIBTORCH wins over the assembled one, but only the right version works.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SetupError } from './errors.mjs'
import { LIBTORCH_VERSION } from './pins.mjs'

const LIBRARY = /^(lib)?torch_cpu\.(so|dylib|lib)$/

/**
 * Throws unless `folder` (the value of LIBTORCH) holds the libtorch this project builds against.
 * @param {string} folder
 */
export function checkOverride(folder) {
  const library = join(folder, 'lib')
  if (!existsSync(library) || !readdirSync(library).some((name) => LIBRARY.test(name))) {
    throw new SetupError(
      `LIBTORCH=${folder} holds no lib/libtorch_cpu: point it at a folder with include/ and lib/ of libtorch ${LIBTORCH_VERSION}, or unset it.`,
    )
  }
  const version = versionOf(folder)
  if (version !== LIBTORCH_VERSION) {
    throw new SetupError(
      `LIBTORCH=${folder} is libtorch ${version ?? 'of an unknown version'}, needed is ${LIBTORCH_VERSION}: point it at that version, or unset it.`,
    )
  }
}

/** Version without the build suffix (`2.13.0+cu130` is 2.13.0), or null. */
function versionOf(folder) {
  return fromBuildVersion(folder) ?? fromPython(folder) ?? fromHeader(folder)
}

/** The official libtorch archives have this file. */
function fromBuildVersion(folder) {
  return read(join(folder, 'build-version'))?.trim().split('+')[0] ?? null
}

/** Python's torch package has this one. */
function fromPython(folder) {
  const text = read(join(folder, 'version.py')) ?? ''
  return /__version__\s*=\s*'([^'+]+)/.exec(text)?.[1] ?? null
}

function fromHeader(folder) {
  const include = join(folder, 'include', 'torch')
  const text =
    (read(join(include, 'headeronly', 'version.h')) ?? '') +
    (read(join(include, 'csrc', 'api', 'include', 'torch', 'version.h')) ?? '')
  const parts = ['MAJOR', 'MINOR', 'PATCH'].map(
    (part) => new RegExp(`#define TORCH_VERSION_${part} (\\d+)`).exec(text)?.[1],
  )
  return parts.every((part) => part !== undefined) ? parts.join('.') : null
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}
