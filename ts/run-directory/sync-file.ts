/** Waits until a file's bytes are on the disk. */

import { fdatasync, fsync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { promisify } from 'node:util'

/** Not `FileHandle.sync`: the file system that yarn's Plug'n'Play puts in its place lacks it. */
export function syncFile({ fd }: FileHandle): Promise<void> {
  return promisify(fsync)(fd)
}

/** The same for the content alone: what a file that only grows needs. */
export function syncContent({ fd }: FileHandle): Promise<void> {
  return promisify(fdatasync)(fd)
}
