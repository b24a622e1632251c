// Assembles libtorch from its wheels into the cache. A folder under its final name is complete:
// it is built under another name, flushed, and renamed; its manifest is written last.
import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { download } from './download.mjs'
import { SetupError } from './errors.mjs'
import { withLock } from './lock.mjs'
import { LIBTORCH_VERSION } from './pins.mjs'
import { say, startProgress } from './progress.mjs'
import { findPython } from './requirements.mjs'
import { runCommand } from './run-command.mjs'
import { fileSha256 } from './stamp.mjs'

const MANIFEST = 'manifest.json'
const UNPACK = fileURLToPath(new URL('unpack_wheel.py', import.meta.url))

/** @param {string} cache @param {import('./pins.mjs').Pins} pins */
export function libtorchFolder(cache, pins) {
  return join(cache, `libtorch-${LIBTORCH_VERSION}-${pins.platform}`)
}

/**
 * Whether `folder` was assembled to the end from these very wheels. Looks at sizes; `thorough` reads every byte.
 * @param {string} folder @param {import('./pins.mjs').Pins} pins @param {{ thorough?: boolean }} [options]
 */
export function isComplete(folder, pins, { thorough = false } = {}) {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, MANIFEST), 'utf8'))
    const wheels = pins.wheels.map((wheel) => wheel.sha256)
    if (JSON.stringify(manifest.wheels) !== JSON.stringify(wheels)) return false
    const names = thorough ? Object.keys(manifest.files) : pins.libraries
    return names.every((name) => {
      const { size, sha256 } = manifest.files[name]
      const path = join(folder, name)
      return statSync(path).size === size && (!thorough || fileSha256(path) === sha256)
    })
  } catch {
    return false
  }
}

/**
 * Assembles libtorch unless it is there; returns its folder. Safe to call from several processes at once.
 * @param {string} cache
 * @param {import('./pins.mjs').Pins} pins
 * @param {{ fetch?: typeof download, thorough?: boolean }} [options]
 */
export async function ensureLibtorch(cache, pins, { fetch = download, thorough = false } = {}) {
  const folder = libtorchFolder(cache, pins)
  if (isComplete(folder, pins, { thorough })) return folder
  await withLock(
    `${folder}.lock`,
    async () => {
      // Someone else may have finished it while this process waited for the lock.
      if (!isComplete(folder, pins, { thorough })) await assemble(folder, pins, fetch, thorough)
    },
    { onWait: (holder) => say(`waiting for ${holder}, which assembles libtorch`) },
  )
  return folder
}

async function assemble(folder, pins, fetch, thorough) {
  removeLeftovers(folder)
  const work = `${folder}.part-${randomUUID()}`
  const wheels = join(work, 'wheels')
  const tree = join(work, 'tree')
  mkdirSync(wheels, { recursive: true })
  mkdirSync(tree)
  const clean = () => rmSync(work, { recursive: true, force: true })
  process.once('exit', clean)
  try {
    await fetch(pins, wheels)
    const files = await unpack(pins, wheels, tree)
    writeManifest(tree, pins, files)
    publish(tree, folder, pins, thorough)
  } finally {
    process.removeListener('exit', clean)
    clean()
  }
}

/** What killed runs left behind: the lock is ours, so nobody else works on these. */
function removeLeftovers(folder, own = '') {
  const parent = dirname(folder)
  for (const name of readdirSync(parent)) {
    const path = join(parent, name)
    if (path.startsWith(`${folder}.part-`) && path !== own)
      rmSync(path, { recursive: true, force: true })
  }
}

async function unpack(pins, wheels, tree) {
  const python = findPython()
  if (python === null) throw new SetupError('Python 3 is missing: install it and run again.')
  const done = startProgress('unpacking libtorch')
  /** @type {Record<string, { size: number, sha256: string }>} */
  const files = {}
  for (const wheel of pins.wheels) {
    const path = join(wheels, wheel.file)
    const args = ['-I', UNPACK, path, wheel.sha256, tree, ...wheel.take]
    const { code, output } = await runCommand(python, args, {
      onLine: (line) => {
        const parsed = /^(.+) (\d+) ([0-9a-f]{64})$/.exec(line)
        if (parsed) files[parsed[1]] = { size: Number(parsed[2]), sha256: parsed[3] }
      },
    })
    if (code !== 0) {
      done('failed')
      throw new SetupError(
        `libtorch could not be unpacked (${output.trim().split('\n').pop()}): run the command again.`,
      )
    }
    rmSync(path)
  }
  for (const [name, content] of Object.entries(pins.write)) {
    const path = join(tree, name)
    writeFlushed(path, content)
    files[name] = { size: statSync(path).size, sha256: fileSha256(path) }
  }
  done()
  return files
}

function writeManifest(tree, pins, files) {
  const missing = pins.libraries.filter((name) => !files[name])
  if (missing.length > 0) throw new SetupError(`the wheels of libtorch lack ${missing.join(', ')}.`)
  const manifest = {
    libtorch: LIBTORCH_VERSION,
    wheels: pins.wheels.map((wheel) => wheel.sha256),
    files,
  }
  writeFlushed(join(tree, MANIFEST), `${JSON.stringify(manifest)}\n`)
}

/** Puts the finished tree in place. An incomplete folder there goes; a complete one, made meanwhile, stays. */
function publish(tree, folder, pins, thorough) {
  if (existsSync(folder) && !isComplete(folder, pins, { thorough }))
    renameSync(folder, `${folder}.part-${randomUUID()}`)
  try {
    renameSync(tree, folder)
  } catch (error) {
    if (!isComplete(folder, pins)) throw error
  }
  flushFolder(dirname(folder))
  removeLeftovers(folder, dirname(tree))
}

function writeFlushed(path, content) {
  mkdirSync(dirname(path), { recursive: true })
  const file = openSync(path, 'w')
  try {
    writeFileSync(file, content)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function flushFolder(folder) {
  if (process.platform === 'win32') return // folders cannot be opened there
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
