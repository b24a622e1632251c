/** A Chromium of this machine, without a window. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
/** A page that never finishes loading is given up. */
const LONGEST_MS = 60_000

/** The program's path; null when there is none. */
export function findChromium(): string | null {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const paths = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))
  return paths.find(isExecutable) ?? null
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Opens a page and returns its document as it is when it has loaded; writes a picture of it to
 * `screenshot` when given.
 */
export async function look(chromium: string, url: string, screenshot?: string): Promise<string> {
  const profile = await mkdtemp(join(tmpdir(), 'nnclr-chromium-'))
  const flags = [
    '--headless=new',
    '--disable-gpu',
    '--no-first-run',
    `--user-data-dir=${profile}`,
    '--window-size=1100,900',
    // Chromium's own sandbox refuses to start for root, as in a container.
    ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    screenshot === undefined ? '--dump-dom' : `--screenshot=${screenshot}`,
    url,
  ]
  try {
    return await run(chromium, flags)
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

/**
 * What the program writes. It leads a process group of its own, which is ended with it: its helpers
 * outlive it for a moment and would write into the profile while that is removed.
 */
async function run(program: string, flags: readonly string[]): Promise<string> {
  const child = spawn(program, flags, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const isLate = setTimeout(() => endGroup(child.pid), LONGEST_MS)
  try {
    // The helpers hold the streams open: `close` comes when the group is gone.
    const exited = once(child, 'exit').then((words) => {
      endGroup(child.pid)
      return words
    })
    const [[code]] = await Promise.all([exited, once(child, 'close')])
    if (code === 0) return stdout
    throw new Error(`${program} ended with code ${code}: ${stderr.slice(-2000)}`)
  } finally {
    clearTimeout(isLate)
    endGroup(child.pid)
  }
}

function endGroup(leader: number | undefined): void {
  if (leader === undefined) return
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // Gone by itself.
  }
}
