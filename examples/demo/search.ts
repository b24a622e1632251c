/** The question to the features: is the nearest drawing of the other vendor the same emoji? */

/** Feature rows, one a picture. */
export interface Rows {
  /** `count` rows of `dim` numbers. */
  readonly features: Float32Array
  readonly count: number
  readonly dim: number
}

/** Nearest rows of each query, best first. */
export interface Found {
  /** `count` rows of `k` row numbers. */
  readonly indices: Uint32Array
  /** Their cosine similarities. */
  readonly similarities: Float32Array
  readonly k: number
}

/** Finds the `k` rows of `references` that are nearest to each query by cosine. */
export type Nearest = (references: Rows, queries: Rows, k: number) => Promise<Found>

/** Shares of queries, 0 to 1. */
export interface HitRates {
  /** Whose nearest row is the right one. */
  readonly top1: number
  /** With the right one among the nearest five. */
  readonly top5: number
}

/** Both directions of the search and their mean. */
export interface CrossSearch extends HitRates {
  /** For the rows of the first set, found in the second. */
  readonly forward: Found
  /** For the rows of the second set, found in the first. */
  readonly backward: Found
}

const NEIGHBOURS = 5

/** Searches each set in the other; row i of one belongs to row i of the other. */
export async function crossSearch(
  first: Rows,
  second: Rows,
  nearest: Nearest,
): Promise<CrossSearch> {
  const forward = await nearest(second, first, NEIGHBOURS)
  const backward = await nearest(first, second, NEIGHBOURS)
  const rates = [hitRates(forward), hitRates(backward)]
  const mean = (key: keyof HitRates) =>
    rates.reduce((sum, rate) => sum + rate[key], 0) / rates.length
  return { forward, backward, top1: mean('top1'), top5: mean('top5') }
}

/** How often row i finds row i. */
export function hitRates({ indices, k }: Found): HitRates {
  const count = indices.length / k
  let top1 = 0
  let top5 = 0
  for (let i = 0; i < count; i++) {
    const rank = indices.subarray(i * k, (i + 1) * k).indexOf(i)
    if (rank === 0) top1++
    if (rank >= 0) top5++
  }
  return { top1: top1 / count, top5: top5 / count }
}

/** Rows `from` up to `to`. */
export function slice({ features, dim }: Rows, from: number, to: number): Rows {
  return { features: features.subarray(from * dim, to * dim), count: to - from, dim }
}
