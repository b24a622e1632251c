/** Picture files that are broken, or whole and unusual. */

import { crc32, deflateSync } from 'node:zlib'
import { picture } from './fixtures-pictures.js'

/** Files that cannot be decoded, by what is wrong with them. */
export function badPictures(): Record<string, Buffer> {
  const whole = picture(3)
  return {
    truncated: whole.subarray(0, whole.length / 2),
    empty: Buffer.alloc(0),
    // Says 4,000,000,000 x 4,000,000,000: refused before anything is allocated.
    huge: png({ width: 4e9, height: 4e9, depth: 8, rows: Buffer.alloc(10) }),
    text: Buffer.from('not a picture\n'),
  }
}

/** A 16-bit picture. */
export function sixteenBit(side = 20): Buffer {
  const rows = Buffer.alloc(side * (1 + 6 * side))
  for (let i = 0; i < rows.length; i++) rows[i] = i % (1 + 6 * side) === 0 ? 0 : (i * 37) % 256
  return png({ width: side, height: side, depth: 16, rows })
}

/** A GIF of 1 x 1 pixels with two frames, red and then blue. */
export function animated(): Buffer {
  const frame = (colour: number) => {
    const pixel = colour === 0 ? 0x44 : 0x4c
    return [0x21, 0xf9, 4, 0, 10, 0, 0, 0, 0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, pixel, 1, 0]
  }
  const palette = [255, 0, 0, 0, 0, 255]
  const screen = [1, 0, 1, 0, 0x80, 0, 0, ...palette]
  return Buffer.concat([
    Buffer.from('GIF89a'),
    Buffer.from([...screen, ...frame(0), ...frame(1), 0x3b]),
  ])
}

function png(of: { width: number; height: number; depth: number; rows: Buffer }): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(of.width, 0)
  header.writeUInt32BE(of.height, 4)
  header[8] = of.depth
  header[9] = 2
  const signature = picture(0).subarray(0, 8)
  const data = chunk('IDAT', deflateSync(of.rows))
  return Buffer.concat([signature, chunk('IHDR', header), data, chunk('IEND', Buffer.alloc(0))])
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const framed = Buffer.alloc(body.length + 8)
  framed.writeUInt32BE(data.length, 0)
  framed.set(body, 4)
  framed.writeUInt32BE(crc32(body), body.length + 4)
  return framed
}
