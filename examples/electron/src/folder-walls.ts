/** Which files a page may see: those of the chosen folder and of the page itself. */

import { realpath } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'

/** Where pictures are served from. */
export const PICTURE_ORIGIN = 'app://picture'

/** The file of a name within a folder, links followed; null when it lies outside or is not there. */
export async function fileWithin(folder: string, name: string): Promise<string | null> {
  if (name.includes('\0')) return null
  try {
    const [root, file] = [await realpath(folder), await realpath(join(folder, name))]
    return file.startsWith(root + sep) ? file : null
  } catch {
    // Not there: the page gets a 404.
    return null
  }
}

/** The name of a file within a folder, with `/`. */
export function nameWithin(folder: string, path: string): string {
  return relative(folder, path).split(sep).join('/')
}

/** The address of a picture of the folder. */
export function pictureUrl(name: string): string {
  return `${PICTURE_ORIGIN}/${name.split('/').map(encodeURIComponent).join('/')}`
}
