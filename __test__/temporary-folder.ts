/** Folders for tests. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ExecutionContext } from 'ava'

/** A fresh folder that goes away with the test. */
export async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Writes empty files, folders included. */
export async function touch(root: string, ...names: string[]): Promise<void> {
  for (const name of names) {
    const path = join(root, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, '')
  }
}
