/** Features as a file: .npy for numpy, .jsonl for programs, .csv for spreadsheets. */

import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { NnclrError } from '../errors.js'
import type { Embedded } from '../index.js'

/** File endings that say how features are written. */
export const FEATURE_FORMATS = ['.npy', '.jsonl', '.csv'] as const

/** One of them. */
export type FeatureFormat = (typeof FEATURE_FORMATS)[number]

/** Rows that are put into words before they are written. */
const ROWS_AT_ONCE = 1024
/** A float32 is told apart from its neighbours by nine digits. */
const FLOAT32_DIGITS = 9

/** Writes the features; resolves with the files that were made. */
export async function writeFeatures(
  path: string,
  format: FeatureFormat,
  embedded: Embedded,
): Promise<string[]> {
  if (format !== '.npy') {
    await writeWhole(path, (file) => writeLines(file, format, embedded))
    return [path]
  }
  await writeWhole(path, async (file) => {
    await file.writeFile(npyHeader(embedded.count, embedded.dim))
    await file.writeFile(littleEndian(embedded.features))
  })
  const paths = path.replace(/\.npy$/i, '.paths.txt')
  await writeWhole(paths, (file) =>
    file.writeFile(embedded.paths.map((name) => `${name}\n`).join('')),
  )
  return [path, paths]
}

/** The file appears under its name only when it is complete. */
async function writeWhole(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const partial = `${path}.${process.pid}.partial`
  try {
    const file = await open(partial, 'w')
    try {
      await write(file)
    } finally {
      await file.close()
    }
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true })
    throw NnclrError.io('write', path, error)
  }
}

/**
 * The NPY format, version 1.0: magic, version, length of the description, the description padded so
 * that the data starts at a multiple of 64.
 */
export function npyHeader(rows: number, columns: number): Buffer {
  const prefix = 10
  const description = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`
  const length = Math.ceil((prefix + description.length + 1) / 64) * 64 - prefix
  const header = Buffer.alloc(prefix + length, ' ')
  header.write('\x93NUMPY\x01\x00', 0, 'latin1')
  header.writeUInt16LE(length, 8)
  header.write(description, prefix, 'latin1')
  header.write('\n', header.length - 1)
  return header
}

function littleEndian(values: Float32Array): Buffer {
  // Every machine that libtorch is built for is little-endian.
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength)
}

async function writeLines(
  file: FileHandle,
  format: '.jsonl' | '.csv',
  embedded: Embedded,
): Promise<void> {
  const { count, dim } = embedded
  if (format === '.csv') {
    await file.writeFile(`path,label,${Array.from({ length: dim }, (_, i) => `f${i}`).join(',')}\n`)
  }
  const row = format === '.csv' ? csvRow : jsonRow
  for (let start = 0; start < count; start += ROWS_AT_ONCE) {
    const end = Math.min(count, start + ROWS_AT_ONCE)
    const lines = Array.from({ length: end - start }, (_, i) => row(embedded, start + i))
    await file.writeFile(`${lines.join('\n')}\n`)
  }
}

function jsonRow(embedded: Embedded, i: number): string {
  return JSON.stringify({
    path: embedded.paths[i],
    label: labelOf(embedded, i),
    features: numbersOf(embedded, i),
  })
}

function csvRow(embedded: Embedded, i: number): string {
  const words = [embedded.paths[i] ?? '', labelOf(embedded, i) ?? ''].map((word) =>
    csvField(String(word)),
  )
  return [...words, ...numbersOf(embedded, i)].join(',')
}

/** The class's name where there is one, else its number, else null. */
function labelOf({ labels, classes }: Embedded, i: number): string | number | null {
  const label = labels?.[i]
  if (label === undefined || label < 0) return null
  return classes?.[label] ?? label
}

function numbersOf({ features, dim }: Embedded, i: number): number[] {
  return Array.from(features.subarray(i * dim, (i + 1) * dim), (value) =>
    Number(value.toPrecision(FLOAT32_DIGITS)),
  )
}

function csvField(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
