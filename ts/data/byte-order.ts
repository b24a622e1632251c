/**
 * Sorting names by their UTF-8 bytes: the order of `LC_ALL=C sort`, the same on every machine and
 * in every locale.
 */

import { PAUSE_EVERY, pause } from './dataset.js'

const SURROGATE = /[\ud800-\udfff]/

/**
 * Sorts names by bytes in pieces, so that a folder of a million leaves the event loop free.
 * UTF-16 order, which `<` gives, differs from byte order only where surrogates are met.
 */
export async function sortByBytes<T>(items: T[], nameOf: (item: T) => string): Promise<T[]> {
  const isPlain = !(await hasSurrogates(items, nameOf))
  const isBefore = isPlain
    ? (a: T, b: T): boolean => nameOf(a) < nameOf(b)
    : (a: T, b: T): boolean => compareBytes(nameOf(a), nameOf(b)) < 0
  const compare = (a: T, b: T): number => (isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0)

  let runs: T[][] = []
  for (let start = 0; start < items.length; start += PAUSE_EVERY) {
    runs.push(items.slice(start, start + PAUSE_EVERY).sort(compare))
    if (items.length > PAUSE_EVERY) await pause()
  }
  while (runs.length > 1) {
    const merged: T[][] = []
    for (let i = 0; i < runs.length; i += 2) {
      merged.push(await mergeRuns(runs[i] ?? [], runs[i + 1] ?? [], isBefore))
    }
    runs = merged
  }
  return runs[0] ?? []
}

async function hasSurrogates<T>(items: T[], nameOf: (item: T) => string): Promise<boolean> {
  for (const [i, item] of items.entries()) {
    if (SURROGATE.test(nameOf(item))) return true
    if (i % PAUSE_EVERY === PAUSE_EVERY - 1) await pause()
  }
  return false
}

/** Negative, zero or positive as `a` comes before, with or after `b`. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

async function mergeRuns<T>(a: T[], b: T[], isBefore: (x: T, y: T) => boolean): Promise<T[]> {
  const merged: T[] = []
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    const fromA = a[i] as T
    const fromB = b[j] as T
    // Takes from `a` when equal, which keeps the sort stable.
    if (isBefore(fromB, fromA)) {
      merged.push(fromB)
      j++
    } else {
      merged.push(fromA)
      i++
    }
    if (merged.length % PAUSE_EVERY === 0) await pause()
  }
  while (i < a.length) merged.push(a[i++] as T)
  while (j < b.length) merged.push(b[j++] as T)
  return merged
}
