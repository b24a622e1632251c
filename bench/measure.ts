/**
 * What a measure is: cases, each of them programs that run in turn and print one line of numbers.
 * The files of `measures/` say what is measured; nothing in them runs anything.
 */

import type { Pictures } from './pictures.js'

/** A program of `ours/` or `peer/` with its settings, one run of which is one number. */
export interface Side {
  /** As the table calls it; `ours` is nnclr. */
  readonly name: string
  /** File below `bench/`: `.ts` and `.mjs` run in Node, `.py` in the reference's environment. */
  readonly program: string
  /** Handed over as JSON. */
  readonly settings: Readonly<Record<string, unknown>>
  /** Bound to one core, with one thread. @default false */
  readonly isOneCore?: boolean
  /** Adds `peakPss` to its numbers: bytes, summed over all its processes. @default false */
  readonly watchMemory?: boolean
}

/** A number that a side prints. */
export interface Metric {
  /** Its key in the side's line. */
  readonly key: string
  /** For a table's head. */
  readonly label: string
  readonly unit: string
  /** Multiplies what the side prints, to come to `unit`. @default 1 */
  readonly scale?: number
}

/** Compare with another side, and be so many times better; or be at most this much. */
export type Goal =
  | { readonly against: string; readonly ratio?: number }
  | { readonly atMost: number }

/** Sides that are measured in turn, on the same pictures and settings. */
export interface Case {
  /** What the row is called. */
  readonly title: string
  readonly metric: Metric
  readonly better: 'more' | 'less'
  /** `ours` first. */
  readonly sides: readonly Side[]
  readonly goals: readonly Goal[]
  /** Further numbers for a table of growth. @default none */
  readonly also?: readonly Metric[]
}

/** What a measure may know of the run it is part of. */
export interface Context {
  /** `quick`: does it work; `normal`: the numbers; `full`: whole data sets. */
  readonly size: 'quick' | 'normal' | 'full'
  /** Threads that compute, the same for all sides. */
  readonly threads: number
  /** Whether the processor multiplies bf16 in hardware. */
  readonly hasBf16: boolean
  readonly pictures: Pictures
  /** A folder of this run, removed at its end. */
  readonly scratch: string
}

/** One file of `measures/`. */
export interface Measure {
  /** What the command line calls it. */
  readonly name: string
  /** A word that selects it together with others, as `growth` does. */
  readonly family?: string
  /** Null when it runs unasked, else why it runs only when named. */
  readonly onlyNamed: (context: Pick<Context, 'hasBf16'>) => string | null
  /** What a reader of the numbers must know. */
  readonly notes: (context: Context) => readonly string[]
  /** Makes the pictures and says what to run. */
  plan(context: Context): Promise<readonly Case[]>
}

/** Workers of the reference program's loader, as its example has them. */
export const PEER_WORKERS = 8

/** The value for the run's size; `full` is `normal` unless given. */
export function sized<T>(size: Context['size'], of: { quick: T; normal: T; full?: T }): T {
  return size === 'full' ? (of.full ?? of.normal) : of[size]
}

/** For measures that run unasked. */
export const always = (): null => null
