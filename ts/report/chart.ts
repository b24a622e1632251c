/**
 * A line chart as inline SVG: axes, labels, a legend. Lines differ in dashes as well as in colour,
 * and every colour is a class, so that the page's style decides about light and dark.
 */

import { html, type Markup, trusted } from './html.js'
import { type Axis, axisOver } from './scale.js'

/** One line of a chart. Points that are not finite are left out. */
export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

/** A chart with its words. */
export interface LineChart {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly series: readonly Series[]
  /** Fixed ends of the vertical axis; from the data when left out. */
  readonly yRange?: readonly [number, number]
  /** The vertical axis counts in percent; values are shares. */
  readonly percent?: boolean
  /** A sentence under the chart: how to read it. */
  readonly note?: string
}

/** Drawing units; about as many pixels where two charts stand side by side, so that text keeps its size. */
const WIDTH = 440
const HEIGHT = 250
const LEFT = 58
const RIGHT = 16
const TOP = 14
const BOTTOM = 46

/** Chart, legend and note as one `<figure>`. */
export function lineChart(chart: LineChart): Markup {
  const series = chart.series
    .map(({ name, points }) => ({
      name,
      points: points.filter((point) => point.every(Number.isFinite)),
    }))
    .filter(({ points }) => points.length > 0)
  return html`<figure class="chart">
<h3>${chart.title}</h3>
${series.length > 1 ? legend(series) : null}
${series.length > 0 ? drawing(chart, series) : html`<p class="quiet">no values were recorded</p>`}
${chart.note === undefined ? null : html`<figcaption>${chart.note}</figcaption>`}
</figure>`
}

function legend(series: readonly Series[]): Markup {
  const entries = series.map(
    ({ name }, i) =>
      html`<li><svg width="28" height="10" aria-hidden="true"><path class="line line-${i}" d="M1 5H27"/></svg>${name}</li>`,
  )
  return html`<ul class="legend">${entries}</ul>`
}

function drawing(chart: LineChart, series: readonly Series[]): Markup {
  const all = series.flatMap(({ points }) => points)
  const x = axisOver(
    all.map(([value]) => value),
    6,
    tight(all.map(([value]) => value)),
  )
  const y = axisOver(
    all.map(([, value]) => value),
    5,
    chart.yRange,
  )
  const toX = (value: number) => LEFT + ((value - x.min) / (x.max - x.min)) * (WIDTH - LEFT - RIGHT)
  const toY = (value: number) =>
    HEIGHT - BOTTOM - ((value - y.min) / (y.max - y.min)) * (HEIGHT - TOP - BOTTOM)
  const label = describe(chart, series)
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">
${y.ticks.map((tick) => horizontalTick(toY(tick), tickText(tick, y, chart.percent === true)))}
${x.ticks.map((tick) => verticalTick(toX(tick), tickText(tick, x, false)))}
<path class="axis" d="M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}"/>
${series.map(({ points }, i) => line(points, i, toX, toY))}
<text class="label" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${chart.xLabel}</text>
<text class="label" transform="translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">${chart.yLabel}</text>
</svg>`
}

/** The horizontal axis ends where the data ends: empty paper at the right reads as missing values. */
function tight(values: readonly number[]): readonly [number, number] | undefined {
  const min = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY)
  const max = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
  return min < max ? [min, max] : undefined
}

function line(
  points: readonly (readonly [number, number])[],
  index: number,
  toX: (value: number) => number,
  toY: (value: number) => number,
): Markup {
  const path = points.map(([x, y]) => `${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`).join('L')
  const last = points.at(-1)
  const dot =
    last === undefined
      ? null
      : html`<circle class="dot dot-${index}" r="3.5" cx="${toX(last[0]).toFixed(1)}" cy="${toY(last[1]).toFixed(1)}"/>`
  return html`${trusted(`<path class="line line-${index}" d="M${path}"/>`)}${dot}`
}

function horizontalTick(y: number, text: string): Markup {
  return html`<path class="grid" d="M${LEFT} ${y.toFixed(1)}H${WIDTH - RIGHT}"/><text class="tick" x="${LEFT - 8}" y="${(y + 4).toFixed(1)}" text-anchor="end">${text}</text>`
}

function verticalTick(x: number, text: string): Markup {
  return html`<path class="axis" d="M${x.toFixed(1)} ${HEIGHT - BOTTOM}v5"/><text class="tick" x="${x.toFixed(1)}" y="${HEIGHT - BOTTOM + 19}" text-anchor="middle">${text}</text>`
}

function tickText(tick: number, axis: Axis, percent: boolean): string {
  return percent
    ? `${(100 * tick).toFixed(Math.max(0, axis.decimals - 2))} %`
    : tick.toFixed(axis.decimals)
}

/** What a screen reader says: each line's first and last value. */
function describe(chart: LineChart, series: readonly Series[]): string {
  const ends = series.map(({ name, points }) => {
    const [first, last] = [points[0]?.[1] ?? 0, points.at(-1)?.[1] ?? 0]
    return `${name} goes from ${first.toFixed(2)} to ${last.toFixed(2)}`
  })
  return `${chart.title}: ${ends.join('; ')}`
}
