/** Runs a measure's sides in turn and collects their numbers. */

import type { Case, Measure, Metric, Side } from './measure.js'
import type { Numbers } from './run-side.js'
import { figure, neighbourRatios, type Run, type Spread, spreadOf } from './statistics.js'

/** A run with everything the program printed. */
export interface SideRun {
  readonly side: string
  readonly numbers: Numbers
}

/** How a side compares with another. */
export interface Comparison {
  readonly against: string
  /** How many times better ours is. */
  readonly ratio: Spread
  readonly wanted: number | null
}

/** What a case came to. */
export interface CaseResult {
  readonly title: string
  readonly metric: Metric
  readonly runs: readonly SideRun[]
  /** The metric of each side, in its unit. */
  readonly sides: Readonly<Record<string, Spread>>
  readonly comparisons: readonly Comparison[]
  /** The largest value wanted of ours, null when there is no such goal. */
  readonly atMost: number | null
  /** Further columns of a table of growth. */
  readonly also: readonly { readonly metric: Metric; readonly value: Spread }[]
}

/** What a measure came to. */
export interface MeasureResult {
  readonly name: string
  readonly family: string | null
  readonly cases: readonly CaseResult[]
  /** Why it could not be measured, null when it was. */
  readonly failure: string | null
}

/** Runs a side once. */
export type RunSide = (side: Side) => Promise<Numbers>

/** Rounds over all cases, so that a case's runs lie as far apart as the measure is long. */
export async function runMeasure(
  measure: Measure,
  cases: readonly Case[],
  repeats: number,
  run: RunSide,
  say: (line: string) => void,
): Promise<MeasureResult> {
  const runs = cases.map((): SideRun[] => [])
  for (let round = 1; round <= repeats; round++) {
    for (const [i, { title, sides, metric }] of cases.entries()) {
      for (const side of sides) {
        const numbers = await run(side)
        runs[i]?.push({ side: side.name, numbers })
        const value = `${figure(printed(numbers, metric, side.program))} ${metric.unit}`
        say(`${measure.name} ${round}/${repeats}: ${title}: ${side.name}: ${value}`)
      }
    }
  }
  const results = cases.map((of, i) => caseResult(of, runs[i] ?? []))
  return { name: measure.name, family: measure.family ?? null, cases: results, failure: null }
}

/** Sums a case's runs up. */
export function caseResult(of: Case, runs: readonly SideRun[]): CaseResult {
  const { title, metric, better, goals } = of
  const values = (wanted: Metric): Run[] =>
    runs.map(({ side, numbers }) => ({ side, value: printed(numbers, wanted, side) }))
  const spread = (wanted: Metric, name: string): Spread =>
    spreadOf(
      values(wanted)
        .filter(({ side }) => side === name)
        .map(({ value }) => value),
    )
  const comparisons = goals.flatMap((goal): Comparison[] => {
    if (!('against' in goal)) return []
    const ratios = neighbourRatios(values(metric), 'ours', goal.against, better)
    return [{ against: goal.against, ratio: spreadOf(ratios), wanted: goal.ratio ?? null }]
  })
  const limits = goals.flatMap((goal) => ('atMost' in goal ? [goal.atMost] : []))
  return {
    title,
    metric,
    runs,
    sides: Object.fromEntries(of.sides.map(({ name }) => [name, spread(metric, name)])),
    comparisons,
    atMost: limits[0] ?? null,
    also: (of.also ?? []).map((wanted) => ({ metric: wanted, value: spread(wanted, 'ours') })),
  }
}

/** @throws Error when the program did not print it. */
function printed(numbers: Numbers, { key, scale = 1 }: Metric, program: string): number {
  const value = numbers[key]
  if (value === undefined || value === null) throw new Error(`${program} printed no ${key}`)
  return value * scale
}
