// One set-up at a time for a folder, across processes. A holder that died is taken over.
import { randomUUID } from 'node:crypto'
import {
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const HEARTBEAT_MS = 5_000
/** Silent for longer than this: dead, also when its process cannot be seen from here (containers). */
const STALE_MS = 60_000
const POLL_MS = 200

/**
 * Runs `work` while holding the lock file at `path`.
 * @template T
 * @param {string} path
 * @param {() => Promise<T>} work
 * @param {{ onWait?: (holder: string) => void }} [options] onWait: called once when someone else holds it
 * @returns {Promise<T>}
 */
export async function withLock(path, work, { onWait } = {}) {
  mkdirSync(dirname(path), { recursive: true })
  const token = JSON.stringify({ pid: process.pid, host: hostname(), id: randomUUID() })
  let told = false
  while (!acquire(path, token)) {
    const holder = read(path)
    if (holder !== null && isStale(path, holder)) {
      takeOver(path, holder)
      continue
    }
    if (!told && holder !== null) {
      onWait?.(describe(holder))
      told = true
    }
    await sleep(POLL_MS)
  }
  const release = () => {
    if (read(path) === token) rmSync(path, { force: true })
  }
  const beat = setInterval(() => touch(path, token), HEARTBEAT_MS)
  beat.unref()
  process.once('exit', release)
  try {
    return await work()
  } finally {
    clearInterval(beat)
    process.removeListener('exit', release)
    release()
  }
}

/** A hard link appears whole or not at all, so nobody ever reads a half-written lock. */
function acquire(path, token) {
  const draft = `${path}.${randomUUID()}`
  writeFileSync(draft, token)
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(error.code)) throw error
    return acquireWithoutLinks(path, token)
  } finally {
    rmSync(draft, { force: true })
  }
}

function acquireWithoutLinks(path, token) {
  try {
    writeFileSync(path, token, { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

/** Only one process at a time may remove a stale lock, and only the very one it judged. */
function takeOver(path, holder) {
  const guard = `${path}.takeover`
  try {
    mkdirSync(guard)
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    // Held for microseconds; a minute means its owner was killed inside.
    if (age(guard) > STALE_MS) rmSync(guard, { recursive: true, force: true })
    return
  }
  try {
    if (read(path) === holder) rmSync(path, { force: true })
  } finally {
    rmSync(guard, { recursive: true, force: true })
  }
}

function isStale(path, holder) {
  if (age(path) > STALE_MS) return true
  const { pid, host } = parse(holder)
  return host === hostname() && pid !== undefined && !isAlive(pid)
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM' // alive, someone else's
  }
}

function age(path) {
  try {
    return Date.now() - statSync(path).mtimeMs
  } catch {
    return 0 // gone: not stale, the next try decides
  }
}

function touch(path, token) {
  if (read(path) !== token) return
  const now = new Date()
  try {
    utimesSync(path, now, now)
  } catch {
    // Removed between the two lines: the holder notices when it releases.
  }
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function parse(holder) {
  try {
    return JSON.parse(holder)
  } catch {
    return {} // written by the fallback and cut short: age alone decides
  }
}

function describe(holder) {
  const { pid, host } = parse(holder)
  return host === hostname() ? `process ${pid}` : `process ${pid} on ${host}`
}
