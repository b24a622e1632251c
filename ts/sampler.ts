/**
 * In which order pictures are used. Everything is a pure function of its arguments: no state to
 * save, the same order for any number of workers, any batch size, and after a resume.
 *
 * The generator is xoshiro128** (Blackman and Vigna, 2018), seeded through splitmix32: 32-bit
 * integers alone, so the same order on every machine.
 */

/** Keeps orders, subsets and hold-outs of one seed independent of each other. */
const STREAM = { order: 1, subset: 2, holdout: 3 } as const

/** Which order is asked for. */
export interface OrderOptions {
  /** The run's seed, a whole number from 0 to 2^53-1. */
  readonly seed: number
  /** The epoch. */
  readonly epoch: number
  /** false gives 0, 1, 2 ... */
  readonly shuffle: boolean
}

/** The order of one epoch: each of 0 ... count-1 once. A million in under 100 ms. */
export function epochOrder(count: number, { seed, epoch, shuffle }: OrderOptions): Uint32Array {
  const order = naturals(count)
  return shuffle ? shuffled(order, generator(seed, epoch, STREAM.order)) : order
}

/**
 * A random share of `indices`, in their order; at least one of them.
 * A smaller fraction of the same seed is a subset of a larger one.
 */
export function subsetOf(indices: Uint32Array, fraction: number, seed: number): Uint32Array {
  if (fraction >= 1) return indices.slice()
  const kept = Math.min(indices.length, Math.max(1, Math.round(indices.length * fraction)))
  const positions = shuffled(naturals(indices.length), generator(seed, 0, STREAM.subset))
  return pick(indices, positions.slice(0, kept).sort())
}

/** 0 ... count-1 in two parts, each rising: what trains, and the share that is held back. */
export function splitHoldout(
  count: number,
  share: number,
  seed: number,
): { train: Uint32Array; holdout: Uint32Array } {
  // Both parts get a picture where there are two.
  const held = Math.max(0, Math.min(count - 1, Math.max(1, Math.round(count * share))))
  const order = shuffled(naturals(count), generator(seed, 0, STREAM.holdout))
  return { train: order.slice(held).sort(), holdout: order.slice(0, held).sort() }
}

/** `indices` at the given positions. */
export function pick(indices: Uint32Array, positions: Uint32Array): Uint32Array {
  return positions.map((position) => indices[position] ?? 0)
}

/** Number of batches that `batches` yields in an epoch. */
export function stepsPerEpoch(count: number, batchSize: number, dropLast: boolean): number {
  return dropLast ? Math.floor(count / batchSize) : Math.ceil(count / batchSize)
}

/**
 * The order cut into batches, each its own copy, from batch number `first` on (for a resume mid-
 * epoch).
 */
export function* batches(
  order: Uint32Array,
  batchSize: number,
  dropLast: boolean,
  first: number = 0,
): Generator<Uint32Array, void, void> {
  const count = stepsPerEpoch(order.length, batchSize, dropLast)
  for (let batch = first; batch < count; batch++) {
    yield order.slice(batch * batchSize, (batch + 1) * batchSize)
  }
}

/** 0, 1 ... count-1. */
export function naturals(count: number): Uint32Array {
  const numbers = new Uint32Array(count)
  for (let i = 0; i < count; i++) numbers[i] = i
  return numbers
}

/** Fisher and Yates, in place. */
function shuffled(numbers: Uint32Array, next: () => number): Uint32Array {
  for (let i = numbers.length - 1; i > 0; i--) {
    const j = below(i + 1, next)
    const moved = numbers[i] ?? 0
    numbers[i] = numbers[j] ?? 0
    numbers[j] = moved
  }
  return numbers
}

/**
 * A number from 0 to bound-1, exactly uniform: draws of just enough bits, repeated when too large.
 */
function below(bound: number, next: () => number): number {
  // At least 2 here, so the shift stays in 0 ... 31.
  const spare = Math.clz32(bound - 1)
  for (;;) {
    const drawn = next() >>> spare
    if (drawn < bound) return drawn
  }
}

/** splitmix32: spreads one word over the state; absorbs the next word after each output. */
function mixed(words: readonly number[]): [number, number, number, number] {
  let state = 0
  const draw = (): number => {
    state = (state + 0x9e3779b9) | 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return z ^ (z >>> 16)
  }
  for (const word of words) state = draw() ^ word
  return [draw(), draw(), draw(), draw()]
}

/** xoshiro128**, unsigned 32-bit outputs. */
function generator(seed: number, epoch: number, stream: number): () => number {
  const high = Math.floor(seed / 2 ** 32)
  let [a, b, c, d] = mixed([seed | 0, high, epoch, stream])
  // The one state that the generator never leaves.
  if ((a | b | c | d) === 0) a = 1
  return () => {
    const times5 = Math.imul(b, 5)
    const output = Math.imul((times5 << 7) | (times5 >>> 25), 9)
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return output >>> 0
  }
}
