/**
 * Walks a folder for pictures. Folder by folder and in pieces: a million files take a list of a
 * million names and nothing else, and the event loop stays free.
 */

import type { Dirent } from 'node:fs'
import { opendir, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { sortByBytes } from './byte-order.js'
import { PAUSE_EVERY, pause } from './dataset.js'

/** What was found. */
export interface FolderListing {
  /** The pictures' paths from the root with `/` between the parts, in byte order level by level. */
  readonly relative: string[]
  /** Folders that could not be read. */
  readonly unreadable: { path: string; error: unknown }[]
  /** Number of files that are no pictures by their ending. */
  readonly others: number
  /** What was left out, for a person. */
  readonly notes: string[]
}

const PICTURE = /\.(jpe?g|png|webp|gif|bmp|tiff?)$/i
/** Directory entries read at a time. */
const READ_AHEAD = 1024

/** A file or folder that counts, links resolved. */
interface Entry {
  readonly name: string
  readonly isFolder: boolean
  /** The real folder behind a link, null where there is no link. */
  readonly target: string | null
}

/** Lists the pictures below `root`, which must be a real path. */
export async function listPictures(root: string, followLinks: boolean): Promise<FolderListing> {
  const walk = new Walk(root, followLinks)
  await walk.visit(root, '', new Set([root]))
  return walk.listing()
}

class Walk {
  readonly #root: string
  readonly #followLinks: boolean
  readonly #relative: string[] = []
  readonly #unreadable: { path: string; error: unknown }[] = []
  /** Links that were not followed, by reason. */
  readonly #left = new Map<string, string[]>()
  #others = 0

  constructor(root: string, followLinks: boolean) {
    this.#root = root
    this.#followLinks = followLinks
  }

  /** `above` holds the real folders on the way here: a link to one of them is a loop. */
  async visit(folder: string, prefix: string, above: ReadonlySet<string>): Promise<void> {
    const entries = await this.#read(folder)
    for (const [i, entry] of entries.entries()) {
      const relative = prefix + entry.name
      if (!entry.isFolder) {
        this.#relative.push(relative)
        if (i % PAUSE_EVERY === PAUSE_EVERY - 1) await pause()
        continue
      }
      const real = entry.target ?? join(folder, entry.name)
      if (above.has(real))
        this.#leave('lead back to a folder they lie in', join(folder, entry.name))
      else await this.visit(real, `${relative}/`, new Set(above).add(real))
    }
  }

  listing(): FolderListing {
    const notes = [...this.#left].map(
      ([reason, paths]) =>
        `not followed: ${paths.length} links that ${reason}, for example ${paths[0]}`,
    )
    return { relative: this.#relative, unreadable: this.#unreadable, others: this.#others, notes }
  }

  async #read(folder: string): Promise<Entry[]> {
    const entries: Entry[] = []
    try {
      for await (const entry of await opendir(folder, { bufferSize: READ_AHEAD })) {
        const kept = entry.name.startsWith('.') ? null : await this.#keep(folder, entry)
        if (kept !== null) entries.push(kept)
      }
    } catch (error) {
      this.#unreadable.push({ path: folder, error })
      return []
    }
    return sortByBytes(entries, ({ name }) => name)
  }

  #keep(folder: string, entry: Dirent): Entry | null | Promise<Entry | null> {
    const { name } = entry
    if (entry.isDirectory()) return { name, isFolder: true, target: null }
    if (entry.isSymbolicLink()) return this.#resolve(folder, name)
    if (!entry.isFile()) return null
    return this.#file(name)
  }

  #file(name: string): Entry | null {
    if (PICTURE.test(name)) return { name, isFolder: false, target: null }
    this.#others++
    return null
  }

  async #resolve(folder: string, name: string): Promise<Entry | null> {
    const link = join(folder, name)
    try {
      const target = await realpath(link)
      if (!this.#followLinks && !isWithin(this.#root, target)) {
        return this.#leave('lead out of the folder', link)
      }
      const found = await stat(target)
      if (found.isDirectory()) return { name, isFolder: true, target }
      return found.isFile() ? this.#file(name) : null
    } catch {
      // A dangling link or a ring of links; the notes name it.
      return this.#leave('lead nowhere', link)
    }
  }

  #leave(reason: string, path: string): null {
    const paths = this.#left.get(reason)
    if (paths === undefined) this.#left.set(reason, [path])
    else paths.push(path)
    return null
  }
}

function isWithin(root: string, target: string): boolean {
  return target === root || target.startsWith(root.endsWith(sep) ? root : root + sep)
}
