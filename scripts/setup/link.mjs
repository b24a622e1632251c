// `.libtorch` in the clone points at the assembled folder; .cargo/config.toml and build.rs look there.
import { randomUUID } from 'node:crypto'
import { lstatSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { SetupError } from './errors.mjs'

/** @param {string} root @param {string} folder */
export function isLinked(root, folder) {
  const link = join(root, '.libtorch')
  const present = lstatSync(link, { throwIfNoEntry: false })
  return present?.isSymbolicLink() === true && resolve(root, readlinkSync(link)) === resolve(folder)
}

/** @param {string} root @param {string} folder */
export function linkLibtorch(root, folder) {
  const link = join(root, '.libtorch')
  const present = lstatSync(link, { throwIfNoEntry: false })
  if (present && !present.isSymbolicLink()) {
    throw new SetupError(
      `${link} is in the way: set-up keeps a link there, move it away and run again.`,
    )
  }
  if (isLinked(root, folder)) return
  const draft = `${link}-${randomUUID()}`
  symlinkSync(folder, draft, 'junction') // the type matters on Windows alone: no rights needed
  if (process.platform === 'win32') rmSync(link, { force: true, recursive: true })
  renameSync(draft, link)
}
