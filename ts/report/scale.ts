/** The numbers of an axis: a range that holds the data and ticks a person would choose. */

/** One axis: its ends and where its ticks stand. */
export interface Axis {
  readonly min: number
  readonly max: number
  readonly ticks: readonly number[]
  /** Decimals that tell neighbouring ticks apart. */
  readonly decimals: number
}

/** An axis over the values, in steps of 1, 2 or 5 times a power of ten, about `count` ticks. */
export function axisOver(
  values: readonly number[],
  count = 5,
  range?: readonly [number, number],
): Axis {
  let [min, max] = range ?? extent(values)
  if (min === max) {
    // One value still wants a line through the middle of something.
    const margin = Math.abs(min) / 10 || 1
    min -= margin
    max += margin
  }
  const step = niceStep((max - min) / count)
  const first = range ? Math.ceil(min / step - 1e-9) : Math.floor(min / step + 1e-9)
  const last = range ? Math.floor(max / step + 1e-9) : Math.ceil(max / step - 1e-9)
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step)
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9))
  return { min: range ? min : first * step, max: range ? max : last * step, ticks, decimals }
}

/** 1, 2 or 5 times a power of ten, the least that is not below `rough`. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough))
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * (1 - 1e-9)) ?? 10
  return factor * power
}

function extent(values: readonly number[]): [number, number] {
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (const value of values) {
    if (value < min) min = value
    if (value > max) max = value
  }
  return min > max ? [0, 1] : [min, max]
}
