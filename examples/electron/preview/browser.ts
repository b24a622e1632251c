/** A Chromium of this machine, without a window. */

import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

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
    const { stdout } = await promisify(execFile)(chromium, flags, {
      maxBuffer: 2 ** 26,
      timeout: LONGEST_MS,
    })
    return stdout
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}
