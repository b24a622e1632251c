// From a staged folder to a tarball, by npm itself, with what it weighs.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { npmCommand } from '../setup/packages.mjs'
import { fileSha256, isFresh, remember } from '../setup/stamp.mjs'

/**
 * @typedef {object} Tarball
 * @property {string} name
 * @property {string} version
 * @property {string} path
 * @property {number} packed bytes
 * @property {number} unpacked bytes
 * @property {number} files
 */

/** The name npm gives: `@nnclr/linux-x64-gnu` becomes `nnclr-linux-x64-gnu-0.1.0.tgz`. */
export function tarballName({ name, version }) {
  return `${name.replace('@', '').replace('/', '-')}-${version}.tgz`
}

/**
 * Packs a folder. What was packed from the same files is left as it is: libtorch takes a minute.
 * @param {string} stage @param {string} out @param {string} inputs a digest of the folder
 * @returns {Tarball}
 */
export function packFolder(stage, out, inputs) {
  const manifest = JSON.parse(readFileSync(join(stage, 'package.json'), 'utf8'))
  const path = join(out, tarballName(manifest))
  const stamp = `${path}.json`
  if (!isFresh(stamp, inputs, () => (existsSync(path) ? fileSha256(path) : ''))) {
    rmSync(stamp, { force: true })
    const [command, args] = npmCommand()
    const words = [
      ...args,
      'pack',
      '--ignore-scripts',
      '--loglevel=error',
      '--pack-destination',
      out,
    ]
    const { status, stderr } = spawnSync(command, words, { cwd: stage, encoding: 'utf8' })
    if (status !== 0) throw new Error(`npm pack failed: ${stderr.trim()}`)
    remember(stamp, inputs, fileSha256(path))
  }
  return { name: manifest.name, version: manifest.version, path, ...weigh(stage, path) }
}

function weigh(stage, path) {
  const sizes = contents(path)
  if (!sizes.some(({ name }) => name === 'package/package.json'))
    throw new Error(`${path} holds no package: packed from ${stage}`)
  return {
    packed: statSync(path).size,
    unpacked: sizes.reduce((sum, { size }) => sum + size, 0),
    files: sizes.length,
  }
}

/** The files of a tarball, by the tar every system of ours has. */
export function contents(path) {
  const { status, stdout, stderr } = spawnSync('tar', ['-tvzf', path], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  if (status !== 0) throw new Error(`tar cannot list ${path}: ${stderr}`)
  return stdout
    .trim()
    .split('\n')
    .map((line) => {
      const words = line.split(/\s+/)
      return { name: words.at(-1), size: Number(words[2]) }
    })
}
