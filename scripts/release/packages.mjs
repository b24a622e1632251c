// Tarballs as the registry will see them, in the order in which they ask for each other.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** Whoever installs while we publish must never see a package whose dependency is not there yet. */
const ORDER = [/^@nnclr\/libtorch-/, /^@nnclr\//, /^nnclr$/]

/**
 * @typedef {object} Package
 * @property {string} name
 * @property {string} version
 * @property {string} path absolute
 * @property {string} integrity of the whole tarball, as the registry states it
 * @property {Record<string, any>} manifest its package.json
 */

/** The tarballs of a folder in the order of publishing. @param {string} folder @returns {Package[]} */
export function packagesIn(folder) {
  const paths = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  if (paths.length === 0) throw new Error(`${resolve(folder)} holds no tarballs (*.tgz)`)
  return inOrder(paths.map((name) => readPackage(join(folder, name))))
}

/** @param {Package[]} packages @returns {Package[]} */
export function inOrder(packages) {
  const rank = ({ name }) => ORDER.findIndex((pattern) => pattern.test(name))
  return packages.toSorted((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
}

/** @param {string} path @returns {Package} */
export function readPackage(path) {
  const words = ['-xzOf', path, 'package/package.json']
  const { status, stdout, stderr } = spawnSync('tar', words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${path} holds no package: ${stderr}`)
  const manifest = JSON.parse(stdout)
  const hash = createHash('sha512').update(readFileSync(path)).digest('base64')
  const { name, version } = manifest
  return { name, version, path: resolve(path), integrity: `sha512-${hash}`, manifest }
}
