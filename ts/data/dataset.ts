/**
 * A list of pictures with what is known about them. It holds paths or bytes, never decoded pixels
 * of files: those are the native loader's business.
 */

import type { Hash } from 'node:crypto'
import { createHash } from 'node:crypto'

/** Pictures as rows of one buffer: per picture all red, then all green, then all blue bytes. */
export interface PlanarPixels {
  /** `length * 3 * width * height` bytes. */
  readonly pixels: Uint8Array
  /** Pixels in a row. */
  readonly width: number
  /** Rows. */
  readonly height: number
}

/** An opened set of pictures. Either `sources` or `planar` is there. */
export interface Dataset {
  /** What it was made from: `image-folder`, `cifar10`, `cifar100`, `samples`. */
  readonly kind: string
  /** The folder it was read from, null when there is none. */
  readonly root: string | null
  /** Number of pictures. */
  readonly length: number
  /** A path or an encoded file's bytes per picture. */
  readonly sources: (string | Uint8Array)[] | null
  /** Raw pixels of all pictures. */
  readonly planar: PlanarPixels | null
  /** A class number per picture, null without labels. */
  readonly labels: Int32Array | null
  /** The classes' names by number, null when the numbers have none. */
  readonly classes: readonly string[] | null
  /**
   * Hex sha256 that another list of pictures does not have; content of files is not read for it.
   */
  readonly fingerprint: string
  /** What a person should know, for example links that were not followed. */
  readonly notes: readonly string[]
  /** The picture's path, or a name for it where there is none. */
  path(index: number): string
}

/** Something that can be opened as a data set, for example an `ImageFolder`. */
export interface DatasetSource {
  /** Reads the list. */
  open(): Promise<Dataset>
}

/** A picture and, if known, its class. */
export interface Sample {
  /** The picture file. Give either this or `bytes`. */
  readonly path?: string | undefined
  /** An encoded picture: the content of a JPEG, PNG ... file. */
  readonly bytes?: Uint8Array | undefined
  /** Its class, a number from 0 or a name. All samples have one, of one kind, or none has. */
  readonly label?: number | string | undefined
}

/** What `train` takes as data: a folder, a data set, or an array of paths or samples. */
export type DataInput = string | Dataset | DatasetSource | readonly (string | Sample)[]

/** Pictures between two pauses, so that listing a million leaves the event loop free. */
export const PAUSE_EVERY = 8192

/** Lets the event loop do its other work. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** The fingerprint of a list: kind, count, a text per picture, and labels. */
export async function fingerprintOf(
  kind: string,
  count: number,
  textOf: (index: number) => string,
  labels: Int32Array | null,
): Promise<string> {
  const hash: Hash = createHash('sha256').update(`${kind}\n${count}\n`)
  for (let start = 0; start < count; start += PAUSE_EVERY) {
    let chunk = ''
    const end = Math.min(count, start + PAUSE_EVERY)
    // NUL ends a text: no path contains it.
    for (let i = start; i < end; i++) chunk += `${textOf(i)}\0`
    hash.update(chunk)
    await pause()
  }
  if (labels !== null) {
    hash
      .update('labels')
      .update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength))
  }
  return hash.digest('hex')
}

/**
 * Labels of `queries` in the numbering of `references`: folders number their classes for
 * themselves, so two of them agree by name alone. A class that `references` does not have becomes
 * -1. Null when either has no labels.
 */
export function alignedLabels(references: Dataset, queries: Dataset): Int32Array | null {
  if (references.labels === null || queries.labels === null) return null
  if (references.classes === null || queries.classes === null) return queries.labels
  const numbers = new Map(references.classes.map((name, number) => [name, number]))
  const translated = queries.classes.map((name) => numbers.get(name) ?? -1)
  return queries.labels.map((label) => translated[label] ?? -1)
}
