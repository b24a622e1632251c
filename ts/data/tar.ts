/**
 * The regular files of a tar archive (POSIX ustar), by name without folders. Only what is asked for
 * is taken and only under its plain name, so an archive cannot write anywhere: links, devices and
 * everything else are passed over.
 */

const BLOCK = 512
/** Offsets in a header block: name 0-99, size 124-135 (octal), kind 156. */
const NAME_END = 100
const SIZE = 124
const SIZE_END = 136
const KIND = 156
/** `'0'` and NUL both mean a regular file. */
const REGULAR = new Set([0x30, 0])

/**
 * The wanted files' bytes, views of `archive`. A cut-off archive gives the files before the cut.
 */
export function filesOfTar(archive: Buffer, wanted: ReadonlySet<string>): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  let offset = 0
  while (offset + BLOCK <= archive.length) {
    const path = textAt(archive, offset, offset + NAME_END)
    // Two empty blocks end an archive.
    if (path === '') break
    const size = Number.parseInt(textAt(archive, offset + SIZE, offset + SIZE_END).trim(), 8)
    const start = offset + BLOCK
    if (!Number.isSafeInteger(size) || size < 0 || start + size > archive.length) break
    const name = path.slice(path.lastIndexOf('/') + 1)
    const isRegular = REGULAR.has(archive[offset + KIND] ?? -1)
    if (isRegular && wanted.has(name)) files.set(name, archive.subarray(start, start + size))
    offset = start + Math.ceil(size / BLOCK) * BLOCK
  }
  return files
}

function textAt(archive: Buffer, start: number, end: number): string {
  const field = archive.subarray(start, end)
  const nul = field.indexOf(0)
  return field.toString('latin1', 0, nul === -1 ? field.length : nul)
}
