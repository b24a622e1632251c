// One version in every file that names it.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PLATFORMS } from '../pack/platforms.mjs'

const SEMVER = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/

/** @param {string} version */
export function checkVersion(version) {
  if (!SEMVER.test(version)) throw new Error(`the version is "${version}", expected one like 1.2.3`)
}

/** Each file with the place of the version in it. @type {[string, RegExp][]} */
const PLACES = [
  ['package.json', /^( {2}"version": ")([^"]+)/m],
  ['package-lock.json', /^( {2}"version": ")([^"]+)/m],
  ['package-lock.json', /("": \{\s*"name": "nnclr",\s*"version": ")([^"]+)/],
  ...PLATFORMS.map(({ name }) => [`npm/${name}/package.json`, /^( {2}"version": ")([^"]+)/m]),
  ['Cargo.toml', /(\[workspace\.package\]\s*version = ")([^"]+)/],
  ['Cargo.lock', /(name = "nnclr"\nversion = ")([^"]+)/],
]

/** Each of them once. */
export const VERSION_FILES = [...new Set(PLACES.map(([file]) => file))]

/**
 * Where another version stands.
 * @param {string} root @param {string} version
 * @returns {{ file: string, found: string }[]}
 */
export function differences(root, version) {
  return PLACES.flatMap(([file, place]) => {
    const found = place.exec(readFileSync(join(root, file), 'utf8'))?.[2]
    if (found === undefined) throw new Error(`${file} names no version where one is expected`)
    return found === version ? [] : [{ file, found }]
  })
}

/** Writes the version everywhere. @param {string} root @param {string} version */
export function writeVersion(root, version) {
  checkVersion(version)
  for (const [file, place] of PLACES) {
    const path = join(root, file)
    const text = readFileSync(path, 'utf8')
    writeFileSync(
      path,
      text.replace(place, (_, before) => before + version),
    )
  }
}
