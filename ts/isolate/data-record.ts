/**
 * Pictures across the channel. A path and an array go as they are. A data set is an object with
 * functions, which cannot go: the parent opens it, and its list goes. No file is read for that but
 * CIFAR's own.
 */

import {
  type DataInput,
  type Dataset,
  type DatasetSource,
  PAUSE_EVERY,
  pause,
  type Sample,
} from '../data/dataset.js'

/** An opened data set without its function. */
interface DatasetRecord extends Omit<Dataset, 'path'> {
  /** What `path` gives, null when that is the sources. */
  readonly paths: string[] | null
}

/** Pictures, or the share to hold back, in plain fields. */
export type DataRecord =
  | { readonly as: 'plain'; readonly value: string | number | null }
  | { readonly as: 'array'; readonly entries: readonly (string | Sample)[] }
  | {
      readonly as: 'data set'
      /** The words by which config.json tells it. */
      readonly told: { readonly kind?: string; readonly root?: string }
      readonly dataset: DatasetRecord
    }

/** Pictures in plain fields; opens data sets. @throws what opening throws. */
export async function recordOfData(data: DataInput | number | null): Promise<DataRecord> {
  if (typeof data !== 'object' || data === null) return { as: 'plain', value: data }
  if (Array.isArray(data)) return { as: 'array', entries: await entriesOf(data) }
  const source = data as Dataset | DatasetSource
  const dataset = 'open' in source ? await source.open() : source
  const { kind, root, length, sources, planar, labels, classes, fingerprint, notes } = dataset
  const paths = await pathsOf(dataset)
  return {
    as: 'data set',
    told: toldFields(source),
    dataset: { kind, root, length, sources, planar, labels, classes, fingerprint, notes, paths },
  }
}

/** The pictures of a record. */
export function dataOf(record: DataRecord): DataInput | number | null {
  if (record.as === 'plain') return record.value
  if (record.as === 'array') return record.entries
  const { paths, ...fields } = record.dataset
  const names = paths ?? fields.sources
  const path = (index: number): string => String(names?.[index] ?? '')
  const source = { ...record.told, open: async (): Promise<Dataset> => ({ ...fields, path }) }
  return source
}

/** The fields that count: what else an entry holds has no meaning and may not be sendable. */
async function entriesOf(data: readonly unknown[]): Promise<(string | Sample)[]> {
  const entries: unknown[] = []
  for (const entry of data) {
    if (typeof entry === 'object' && entry !== null) {
      const { path, bytes, label } = entry as Sample
      entries.push({ path, bytes, label })
    } else {
      entries.push(entry)
    }
    if (entries.length % PAUSE_EVERY === 0) await pause()
  }
  return entries as (string | Sample)[]
}

async function pathsOf(dataset: Dataset): Promise<string[] | null> {
  const { length, sources } = dataset
  const paths: string[] = []
  let isSame = sources !== null
  for (let i = 0; i < length; i++) {
    const name = dataset.path(i)
    isSame &&= name === sources?.[i]
    paths.push(name)
    if (i % PAUSE_EVERY === PAUSE_EVERY - 1) await pause()
  }
  return isSame ? null : paths
}

function toldFields(source: object): { kind?: string; root?: string } {
  const { kind, root } = source as Record<string, unknown>
  return {
    ...(typeof kind === 'string' ? { kind } : {}),
    ...(typeof root === 'string' ? { root } : {}),
  }
}
