/** A run's events as the charts of the page. */

import type { TrainEvent } from '../../ts/events.js'
import type { LineChart, Series } from '../../ts/report/chart.js'

/** Loss, neighbour health and, where there was one, kNN score over the epochs. */
export function curvesOf(events: readonly TrainEvent[]): LineChart[] {
  const steps = events.filter((event) => event.type === 'step')
  const start = events.find((event) => event.type === 'start')
  const scores = events.filter((event) => event.type === 'evaluation')
  const stepsPerEpoch = start === undefined ? 1 : start.steps / start.config.epochs
  const over = (name: string, read: (event: (typeof steps)[number]) => number | null): Series => ({
    name,
    points: smoothed(steps.map((event) => [event.step / stepsPerEpoch, read(event) ?? Number.NaN])),
  })
  const charts: LineChart[] = [
    {
      title: 'Loss',
      xLabel: 'epoch',
      yLabel: 'loss',
      series: [over('loss', ({ loss }) => loss)],
      note: 'Each point is a mean over neighbouring steps. Where neighbours replace the other view the task becomes harder, and the loss steps up.',
    },
    {
      title: 'Neighbours',
      xLabel: 'epoch',
      yLabel: 'share',
      yRange: [0, 1],
      percent: true,
      series: [
        over('similarity to its neighbour', ({ neighbourSimilarity }) => neighbourSimilarity),
        over('different neighbours in a batch', ({ uniqueNeighbours }) => uniqueNeighbours),
        over('neighbour is the same picture', ({ selfNeighbourRate }) => selfNeighbourRate),
        over('neighbour is of the same class', ({ sameClassRate }) => sameClassRate),
      ],
      note: 'How the nearest neighbour in the memory bank fares. Few different neighbours would mean that everything looks alike to the network: collapse.',
    },
  ]
  if (scores.length > 1) {
    charts.push({
      title: 'kNN score',
      xLabel: 'epoch',
      yLabel: 'held-back pictures classified',
      percent: true,
      series: [{ name: 'kNN top-1', points: scores.map(({ epoch, knnTop1 }) => [epoch, knnTop1]) }],
    })
  }
  return charts
}

/** About this many points a curve: more only draws noise. */
const POINTS = 80

function smoothed(points: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const width = Math.max(1, Math.ceil(points.length / POINTS))
  const groups = Array.from({ length: Math.ceil(points.length / width) }, (_, i) =>
    points.slice(i * width, (i + 1) * width),
  )
  return groups.map((group) => [mean(group.map(([x]) => x)), mean(group.map(([, y]) => y))])
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
