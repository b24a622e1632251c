/** The one door through which every kind of data comes in. */

import { NnclrError } from '../errors.js'
import type { DataInput, Dataset } from './dataset.js'
import { ImageFolder } from './image-folder.js'
import { openSamples } from './samples.js'

/**
 * Opens what a caller gave as data: a folder, a data set, something to open, or an array.
 *
 * @throws NnclrError CONFIG for anything else, IO for a folder that cannot be used.
 */
export async function openDataset(data: DataInput): Promise<Dataset> {
  if (typeof data === 'string') return new ImageFolder(data).open()
  if (Array.isArray(data)) return openSamples(data)
  if (isSource(data)) return data.open()
  if (isDataset(data)) return data
  const expected = 'a folder, a data set, or an array of paths or { path | bytes, label? }'
  throw NnclrError.config([{ field: 'data', value: String(data), expected }])
}

function isSource(data: unknown): data is { open(): Promise<Dataset> } {
  return (
    typeof data === 'object' && data !== null && 'open' in data && typeof data.open === 'function'
  )
}

function isDataset(data: unknown): data is Dataset {
  if (typeof data !== 'object' || data === null) return false
  const { length, path, fingerprint } = data as Record<string, unknown>
  return typeof length === 'number' && typeof path === 'function' && typeof fingerprint === 'string'
}
