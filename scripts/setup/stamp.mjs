// Remembers from which inputs something was built, by content: a checkout that touches times rebuilds nothing.
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, sep } from 'node:path'

/** @param {string} path */
export function fileSha256(path) {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

/**
 * One digest over files and folders (missing ones count as such) and further words.
 * @param {string} root @param {string[]} paths relative to root @param {string[]} [words]
 */
export function digest(root, paths, words = []) {
  const hash = createHash('sha256')
  for (const path of paths) {
    for (const file of listFiles(root, path))
      hash.update(`${file}\0${fileSha256(join(root, file))}\0`)
    hash.update('\0')
  }
  for (const word of words) hash.update(`${word}\0`)
  return hash.digest('hex')
}

/** Files below `path`, sorted, with forward slashes, relative to `root`. */
export function listFiles(root, path) {
  const full = join(root, path)
  if (!existsSync(full)) return []
  if (statSync(full).isFile()) return [path]
  return readdirSync(full, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath ?? entry.path, entry.name)
        .slice(root.length + 1)
        .split(sep)
        .join('/'),
    )
    .sort()
}

/**
 * Whether `outputs` are what was made from `inputs`, and untouched since.
 * @param {string} stamp @param {string} inputs a digest @param {() => string} outputs a digest of what is there
 */
export function isFresh(stamp, inputs, outputs) {
  try {
    const seen = JSON.parse(readFileSync(stamp, 'utf8'))
    return seen.inputs === inputs && seen.outputs === outputs()
  } catch {
    return false
  }
}

/** Forgets what was built, before it is built anew: a killed build must not look fresh. @param {string} stamp */
export function forget(stamp) {
  rmSync(stamp, { force: true })
}

/** @param {string} stamp @param {string} inputs @param {string} outputs */
export function remember(stamp, inputs, outputs) {
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, `${JSON.stringify({ inputs, outputs })}\n`)
}
