/** A data set from an array: paths, or samples with a path or bytes and perhaps a label. */

import { type ConfigIssue, NnclrError } from '../errors.js'
import { sortByBytes } from './byte-order.js'
import { type Dataset, fingerprintOf, PAUSE_EVERY, pause, type Sample } from './dataset.js'

/** Problems shown of an array; a million wrong entries are one mistake. */
const SHOWN_ISSUES = 5

/**
 * Makes a data set of paths and samples. Files are not looked at: a missing one is a bad picture of
 * the run, counted and listed there.
 *
 * @throws NnclrError CONFIG when an entry is neither, or labels are mixed.
 */
export async function openSamples(samples: readonly (string | Sample)[]): Promise<Dataset> {
  const issues: ConfigIssue[] = []
  const sources: (string | Uint8Array)[] = []
  const given: unknown[] = []
  for (const [i, sample] of samples.entries()) {
    const { source, label } = read(sample)
    if (source === null) issues.push(issue(i, sample, 'a path, or { path | bytes, label? }'))
    else sources.push(source)
    given.push(label)
    if (issues.length >= SHOWN_ISSUES) break
    if (i % PAUSE_EVERY === PAUSE_EVERY - 1) await pause()
  }
  if (samples.length === 0)
    issues.push({ field: 'data', value: '[]', expected: 'at least one picture' })
  if (issues.length > 0) throw NnclrError.config(issues)

  const { labels, classes } = await readLabels(given)
  const path = (index: number): string => {
    const source = sources[index]
    return typeof source === 'string' ? source : '<bytes>'
  }
  const textOf = (index: number): string => {
    const source = sources[index]
    return typeof source === 'string' ? source : `<${source?.byteLength} bytes>`
  }
  return {
    kind: 'samples',
    root: null,
    length: sources.length,
    sources,
    planar: null,
    labels,
    classes,
    fingerprint: await fingerprintOf('samples', sources.length, textOf, labels),
    notes: [],
    path,
  }
}

function read(sample: unknown): { source: string | Uint8Array | null; label: unknown } {
  if (typeof sample === 'string') return { source: sample === '' ? null : sample, label: undefined }
  if (typeof sample !== 'object' || sample === null) return { source: null, label: undefined }
  const { path, bytes, label } = sample as Record<string, unknown>
  // Both at once would leave open which is meant.
  if (bytes === undefined && typeof path === 'string' && path !== '') return { source: path, label }
  if (path === undefined && bytes instanceof Uint8Array) return { source: bytes, label }
  return { source: null, label }
}

async function readLabels(
  given: readonly unknown[],
): Promise<{ labels: Int32Array | null; classes: string[] | null }> {
  const first = given[0]
  const isRight = kindOf(first)
  const odd = given.findIndex((label) => !isRight(label))
  if (odd !== -1) {
    const expected =
      first === undefined
        ? 'no label, as data[0] has none'
        : 'a label as data[0] has: all names, or all whole numbers from 0'
    throw NnclrError.config([{ ...issue(odd, given[odd], expected), field: `data[${odd}].label` }])
  }
  if (first === undefined) return { labels: null, classes: null }
  if (typeof first === 'number')
    return { labels: Int32Array.from(given as number[]), classes: null }
  const classes = await sortByBytes([...new Set(given as string[])], (name) => name)
  const numbers = new Map(classes.map((name, number) => [name, number]))
  return { labels: Int32Array.from(given as string[], (name) => numbers.get(name) ?? -1), classes }
}

/** The test that all labels must pass when the first is this one. */
function kindOf(first: unknown): (label: unknown) => boolean {
  if (first === undefined) return (label) => label === undefined
  if (typeof first === 'string') return (label) => typeof label === 'string'
  return (label) => Number.isInteger(label) && (label as number) >= 0 && (label as number) < 2 ** 31
}

function issue(index: number, value: unknown, expected: string): ConfigIssue {
  const shown =
    typeof value === 'string'
      ? `'${value}'`
      : typeof value === 'object'
        ? 'an object'
        : String(value)
  return { field: `data[${index}]`, value: value === null ? 'null' : shown, expected }
}
