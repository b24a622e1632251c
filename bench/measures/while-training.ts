/** What a training does to the event loop, and how long it waits for data: numbers of ours alone. */

import { always, type Context, type Measure, type Metric, sized } from '../measure.js'
import { ourTraining } from './training-sides.js'

function alone(name: string, title: string, metric: Metric, atMost: number, note: string): Measure {
  return {
    name,
    onlyNamed: always,
    notes: () => [`${name}: ${note}`],
    async plan(context: Context) {
      const batchSize = sized(context.size, { quick: 32, normal: 256 })
      const data = await context.pictures.folder(
        'small',
        sized(context.size, { quick: 96, normal: 2560 }),
      )
      const sides = [ourTraining(context, { data, warmUp: null, batchSize })]
      return [{ title, metric, better: 'less', sides, goals: [{ atMost }] }]
    },
  }
}

export const eventLoop: Measure = alone(
  'event-loop',
  'event-loop delay while training, 99th percentile',
  { key: 'eventLoopP99', label: 'delay', unit: 'ms' },
  20,
  'the whole run, from its start to its last file; monitorEventLoopDelay with a resolution of 1 ms, so about 1 ms is nothing',
)

export const dataWait: Measure = alone(
  'data-wait',
  'share of step time waiting for data, ResNet-18 at 32 px',
  { key: 'dataWait', label: 'waiting', unit: '%', scale: 100 },
  2,
  'of an epoch whose pictures are not yet decoded, without its first two steps',
)
