/**
 * A PNG encoder for 8-bit RGB, so that a page can hold pictures without a dependency. No filters are
 * tried: on pictures of a few thousand pixels they save a few bytes and cost most of the code.
 */

import { crc32, deflateSync } from 'node:zlib'

/** An 8-bit RGB picture, row after row. */
export interface Pixels {
  readonly width: number
  readonly height: number
  /** `3 * width * height` bytes. */
  readonly data: Uint8Array
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const BIT_DEPTH = 8
const COLOUR_TYPE_RGB = 2

/** The picture as a PNG file. */
export function encodePng({ width, height, data }: Pixels): Buffer {
  if (data.length !== 3 * width * height) {
    throw new RangeError(
      `${width} x ${height} RGB needs ${3 * width * height} bytes, got ${data.length}`,
    )
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = BIT_DEPTH
  header[9] = COLOUR_TYPE_RGB
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(scanlines(width, height, data), { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** The picture as the `src` of an `<img>`. */
export function pngDataUri(picture: Pixels): string {
  return `data:image/png;base64,${encodePng(picture).toString('base64')}`
}

/** Each row with its filter byte, 0 for "none", in front. */
function scanlines(width: number, height: number, data: Uint8Array): Buffer {
  const stride = 3 * width
  const rows = Buffer.alloc(height * (stride + 1))
  for (let y = 0; y < height; y++) {
    rows.set(data.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1)
  }
  return rows
}

/** Length, type, data, and the checksum over type and data. */
function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const framed = Buffer.alloc(body.length + 8)
  framed.writeUInt32BE(data.length, 0)
  framed.set(body, 4)
  framed.writeUInt32BE(crc32(body), body.length + 4)
  return framed
}
