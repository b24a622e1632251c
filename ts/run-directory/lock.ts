/**
 * A lock file, so that two live runs never write to one directory. It names its owner; the lock of
 * a process that is gone is taken over, so a killed run needs no cleaning up.
 */

import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname, uptime } from 'node:os'
import { resolve } from 'node:path'
import { isSystemError, NnclrError } from '../errors.js'

/** A lock of another machine (shared folder, new container) is dead when untouched for so long. */
const STALE_MS = 5 * 60_000
/** How often a held lock is touched. */
const TOUCH_MS = 30_000
/** Two processes that take over at once retry; more rounds would mean something else is wrong. */
const MOST_TRIES = 5

/** Who holds a lock. */
interface Owner {
  readonly pid: number
  readonly host: string
  /** Unique to one acquisition. */
  readonly id: string
}

/**
 * Locks that this process holds: its own pid in a file proves nothing after a container restart.
 */
const held = new Set<string>()

/** A held lock. */
export class DirectoryLock {
  readonly #path: string
  readonly #owner: Owner
  readonly #touching: NodeJS.Timeout

  private constructor(path: string, owner: Owner) {
    this.#path = path
    this.#owner = owner
    held.add(owner.id)
    this.#touching = setInterval(() => touch(path), TOUCH_MS).unref()
  }

  /**
   * Takes the lock at `path`.
   *
   * @throws NnclrError CONFIG when a live run holds it, IO when it cannot be written.
   */
  static async acquire(path: string): Promise<DirectoryLock> {
    const full = resolve(path)
    const owner: Owner = { pid: process.pid, host: hostname(), id: randomUUID() }
    const own = `${full}.${owner.id}`
    try {
      // Linking a complete file: whoever sees the lock sees its owner too.
      await writeFile(own, JSON.stringify(owner))
      for (let attempt = 0; attempt < MOST_TRIES; attempt++) {
        if (await linked(own, full)) return new DirectoryLock(full, owner)
        await removeIfDead(full)
      }
    } catch (error) {
      if (error instanceof NnclrError) throw error
      throw NnclrError.io('lock', full, error)
    } finally {
      await rm(own, { force: true }).catch(() => undefined)
    }
    throw inUse(full, null)
  }

  /** Gives the lock back, unless it was taken over. */
  async release(): Promise<void> {
    clearInterval(this.#touching)
    held.delete(this.#owner.id)
    const owner = await readOwner(this.#path).catch(() => null)
    if (owner?.id === this.#owner.id) await rm(this.#path, { force: true }).catch(() => undefined)
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return false
    // File systems without hard links (exFAT, some network shares).
    if (isSystemError(error, 'EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK')) return copied(from, to)
    throw error
  }
}

async function copied(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL)
    return true
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return false
    throw error
  }
}

/** Moves a dead owner's lock away; throws when the owner lives. */
async function removeIfDead(path: string): Promise<void> {
  const owner = await readOwner(path)
  if (owner === null) return
  if (await isAlive(path, owner)) throw inUse(path, owner)
  const aside = `${path}.${randomUUID()}`
  try {
    // Renaming, not removing: of several processes that found it dead, one gets it.
    await rename(path, aside)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return
    throw error
  }
  const moved = await readOwner(aside)
  // Someone was quicker and this is their new lock: it goes back.
  if (moved !== null && moved.id !== owner.id) await linked(aside, path)
  await rm(aside, { force: true })
}

async function isAlive(path: string, owner: Owner): Promise<boolean> {
  if (held.has(owner.id)) return true
  const age = Date.now() - (await stat(path)).mtimeMs
  if (owner.host !== hostname()) return age < STALE_MS
  // From before the machine started, or an earlier process with our number.
  if (age > uptime() * 1000 || owner.pid === process.pid) return false
  try {
    process.kill(owner.pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives and belongs to another user.
    return isSystemError(error, 'EPERM')
  }
}

/** The owner, or null when there is no lock. Of an unreadable lock only the age can tell. */
async function readOwner(path: string): Promise<Owner | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return null
    throw error
  }
  try {
    const { pid, host, id } = JSON.parse(text) as Record<string, unknown>
    if (typeof pid === 'number' && pid > 0 && typeof host === 'string' && typeof id === 'string') {
      return { pid, host, id }
    }
  } catch {
    // Not finished yet, or not written by nnclr.
  }
  return { pid: 0, host: 'an unknown machine', id: text }
}

function touch(path: string): void {
  const now = new Date()
  // A failed touch matters to other machines alone; the run's own writes will tell.
  utimes(path, now, now).catch(() => undefined)
}

function inUse(path: string, owner: Owner | null): NnclrError {
  const who = owner === null ? 'another run' : `process ${owner.pid} on ${owner.host}`
  const message = `${who} is using this run directory; if that is not so, remove ${path}`
  return new NnclrError('CONFIG', 'out', message)
}
