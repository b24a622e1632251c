/** Medians, ratios, and how numbers are written. */

/** A number of several runs: the middle one and the extremes. */
export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** One run of a side. */
export interface Run {
  readonly side: string
  readonly value: number
}

/** The middle value, the mean of the middle two. @throws RangeError without values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]
  if (upper === undefined || lower === undefined) throw new RangeError('the median of no values')
  return (lower + upper) / 2
}

/** @throws RangeError without values. */
export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) }
}

/**
 * How many times better `of` is than `against`, once for each pair of runs that followed each other:
 * a machine that slows down over minutes slows both numbers of such a pair. `runs` are in order of
 * time; runs of other sides between two do not part them.
 */
export function neighbourRatios(
  runs: readonly Run[],
  of: string,
  against: string,
  better: 'more' | 'less',
): number[] {
  const both = runs.filter(({ side }) => side === of || side === against)
  const ratios: number[] = []
  for (const [i, later] of both.entries()) {
    const earlier = both[i - 1]
    if (earlier === undefined || earlier.side === later.side) continue
    const [ours, theirs] = earlier.side === of ? [earlier, later] : [later, earlier]
    ratios.push(better === 'more' ? ours.value / theirs.value : theirs.value / ours.value)
  }
  return ratios
}

/** Three figures; whole numbers keep all of theirs. */
export function figure(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  if (Number.isInteger(value)) return String(value)
  return String(Number(value.toPrecision(3)))
}
