/** Files that are either complete or not there. */

import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { NnclrError } from '../errors.js'
import { syncFile } from './sync-file.js'

/**
 * Writes a file by way of a temporary one in the same folder. After a crash or on a full disk the
 * file is the old or the new one, never a part.
 *
 * @throws NnclrError IO with the path.
 */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    const file = await open(temporary, 'w')
    try {
      await file.writeFile(text)
      await syncFile(file)
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw NnclrError.io('write', path, error)
  }
}

/**
 * Makes a rename in the folder last through a power cut; Windows has no such call and needs none.
 */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await syncFile(folder)
  } finally {
    await folder.close()
  }
}
