/** The loss as lines: every step thin, every epoch's mean thick. */

import type { Point, Progress } from './progress.js'

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [480, 240, 48, 24, 8]
const SVG = 'http://www.w3.org/2000/svg'

/** Draws into an `<svg>` of 480 x 240 units. */
export function drawChart(svg: SVGElement, { steps, epochs }: Progress): void {
  svg.replaceChildren()
  if (steps.length < 2) return
  const [first, last] = [steps[0]?.[0] ?? 0, steps.at(-1)?.[0] ?? 1]
  const losses = steps.map(([, loss]) => loss)
  const [least, most] = [Math.min(...losses), Math.max(...losses)]
  const spread = most - least || 1
  const x = (step: number): number => LEFT + ((step - first) / (last - first)) * (WIDTH - LEFT - 8)
  const y = (loss: number): number => TOP + ((most - loss) / spread) * (HEIGHT - TOP - BOTTOM)
  const line = (points: readonly Point[]): string =>
    points
      .map(([step, loss], i) => `${i === 0 ? 'M' : 'L'}${x(step).toFixed(1)} ${y(loss).toFixed(1)}`)
      .join('')
  path(svg, '', `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - 8}`)
  path(svg, 'line', line(steps))
  if (epochs.length > 1) path(svg, 'epochs', line(epochs))
  text(svg, LEFT - 6, y(most) + 10, 'end', most.toFixed(2))
  text(svg, LEFT - 6, y(least), 'end', least.toFixed(2))
  text(svg, LEFT, HEIGHT - 6, 'start', `step ${first}`)
  text(svg, WIDTH - 8, HEIGHT - 6, 'end', `step ${last}`)
  const ends = `from ${losses[0]?.toFixed(2)} to ${losses.at(-1)?.toFixed(2)}`
  svg.setAttribute('aria-label', `loss by step, ${ends}`)
}

function path(svg: SVGElement, name: string, d: string): void {
  const element = document.createElementNS(SVG, 'path')
  element.setAttribute('d', d)
  if (name !== '') element.setAttribute('class', name)
  svg.append(element)
}

function text(svg: SVGElement, x: number, y: number, anchor: string, words: string): void {
  const element = document.createElementNS(SVG, 'text')
  element.setAttribute('x', x.toFixed(1))
  element.setAttribute('y', y.toFixed(1))
  element.setAttribute('text-anchor', anchor)
  element.textContent = words
  svg.append(element)
}
