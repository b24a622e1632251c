/**
 * A folder of pictures. Every picture in it and below is listed, in byte order of the names; when
 * all of them lie in sub-folders, the first folder level is their class, as in torchvision's
 * ImageFolder.
 */

import type { Stats } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError, NnclrError } from '../errors.js'
import { type Dataset, fingerprintOf, PAUSE_EVERY, pause } from './dataset.js'
import { type FolderListing, listPictures } from './list-pictures.js'

/** How a folder is read. */
export interface ImageFolderOptions {
  /**
   * Follow symbolic links that lead out of the folder. Links within it are always followed, a link
   * to a folder it lies in never. @default false
   */
  readonly followLinks?: boolean | undefined
}

/**
 * A folder of pictures: jpg, jpeg, png, webp, gif, bmp, tif and tiff, in any case. Hidden files and
 * folders are left out.
 *
 * @example
 * await train({ data: new ImageFolder('photos/', { followLinks: true }), out: 'runs/first' })
 */
export class ImageFolder {
  /** What this is, in a run's config.json. */
  readonly kind = 'image-folder'
  /** The folder. */
  readonly root: string
  readonly #followLinks: boolean

  /** Names the folder; nothing is read before `open`. */
  constructor(root: string, options: ImageFolderOptions = {}) {
    if (typeof root !== 'string' || root === '') {
      const issue = { field: 'root', value: String(root), expected: 'the path of a folder' }
      throw NnclrError.config([issue])
    }
    this.root = root
    this.#followLinks = options.followLinks === true
  }

  /**
   * Lists the pictures.
   *
   * @throws NnclrError IO when the folder is missing, is a file, holds no picture, or has
   * unreadable sub-folders, which are named.
   */
  async open(): Promise<Dataset> {
    const realRoot = await resolveRoot(this.root)
    const listing = await listPictures(realRoot, this.#followLinks)
    refuseUnusable(this.root, listing)
    const { relative } = listing
    const { labels, classes } = await labelsOf(relative)
    const { root, kind } = this
    const sources = await pathsBelow(root, relative)
    return {
      kind,
      root,
      length: sources.length,
      sources,
      planar: null,
      labels,
      classes,
      // Relative paths: a folder that was moved is still the same set.
      fingerprint: await fingerprintOf(kind, relative.length, (i) => relative[i] ?? '', labels),
      notes: listing.notes,
      path: (index) => sources[index] ?? '',
    }
  }
}

async function resolveRoot(root: string): Promise<string> {
  let found: Stats
  try {
    found = await stat(root)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw NnclrError.io('open', root, error)
    throw new NnclrError('IO', root, `the folder ${root} does not exist`, { cause: error })
  }
  if (!found.isDirectory()) {
    throw new NnclrError(
      'IO',
      root,
      `${root} is not a folder; for single files give an array of paths`,
    )
  }
  return realpath(root)
}

function refuseUnusable(root: string, { relative, unreadable, others }: FolderListing): void {
  if (unreadable.length > 0) {
    const shown = unreadable
      .slice(0, 10)
      .map(({ path, error }) => NnclrError.io('read', path, error).message)
    const more =
      unreadable.length > shown.length ? [`and ${unreadable.length - shown.length} more`] : []
    const message = [`${unreadable.length} unreadable folders in ${root}:`, ...shown, ...more].join(
      '\n  ',
    )
    throw new NnclrError('IO', unreadable[0]?.path ?? root, message, {
      cause: unreadable[0]?.error,
    })
  }
  if (relative.length === 0) {
    const found =
      others === 0 ? 'it holds no files' : `none of its ${others} files has a picture's ending`
    const endings = 'jpg, jpeg, png, webp, gif, bmp, tif, tiff'
    throw new NnclrError('IO', root, `no pictures in ${root}: ${found} (${endings})`)
  }
}

interface Labels {
  readonly labels: Int32Array | null
  readonly classes: string[] | null
}

/** Classes by the first folder level; none when a picture lies in the root itself. */
async function labelsOf(relative: readonly string[]): Promise<Labels> {
  const labels = new Int32Array(relative.length)
  const classes: string[] = []
  let prefix: string | null = null
  for (const [i, path] of relative.entries()) {
    // Pictures come folder by folder, so a name that differs from the last is the next class.
    if (prefix === null || !path.startsWith(prefix)) {
      const slash = path.indexOf('/')
      if (slash === -1) return { labels: null, classes: null }
      classes.push(path.slice(0, slash))
      prefix = path.slice(0, slash + 1)
    }
    labels[i] = classes.length - 1
    if (i % PAUSE_EVERY === PAUSE_EVERY - 1) await pause()
  }
  return { labels, classes }
}

/** Plain concatenation: a million calls of `join` would hold the event loop for a second. */
async function pathsBelow(root: string, relative: readonly string[]): Promise<string[]> {
  const prefix = join(root, '/')
  const paths: string[] = []
  for (const path of relative) {
    paths.push(prefix + path)
    if (paths.length % PAUSE_EVERY === 0) await pause()
  }
  return paths
}
