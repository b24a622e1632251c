// Sixteen small bitmaps in two classes: enough for two steps.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const SIDE = 24
const HEADER = 54

/** @param {string} folder */
export function writePictures(folder) {
  for (let number = 0; number < 16; number++) {
    const path = join(folder, number % 2 === 0 ? 'even' : 'odd')
    mkdirSync(path, { recursive: true })
    writeFileSync(join(path, `${number}.bmp`), bitmap(number))
  }
  return folder
}

/** An uncompressed bitmap of 24 bits; rows of 72 bytes need no padding. */
function bitmap(number) {
  const pixels = 3 * SIDE * SIDE
  const bytes = Buffer.alloc(HEADER + pixels)
  bytes.write('BM')
  bytes.writeUInt32LE(bytes.length, 2)
  bytes.writeUInt32LE(HEADER, 10)
  bytes.writeUInt32LE(40, 14)
  bytes.writeInt32LE(SIDE, 18)
  bytes.writeInt32LE(SIDE, 22)
  bytes.writeUInt16LE(1, 26)
  bytes.writeUInt16LE(24, 28)
  bytes.writeUInt32LE(pixels, 34)
  for (let i = 0; i < pixels; i++) bytes[HEADER + i] = (i * (number + 3) + 40 * number) % 256
  return bytes
}
