/** The look-up of a batch in a bank of the paper's size. */

import { always, type Measure, type Metric, sized } from '../measure.js'

const LOOK_UP: Metric = { key: 'milliseconds', label: 'look-up', unit: 'ms' }

export const bank: Measure = {
  name: 'bank',
  onlyNamed: always,
  notes: ({ threads }) => [
    `bank: both modules through their public interface, ${threads} threads, without an update`,
  ],
  async plan({ size }) {
    const settings = {
      rows: sized(size, { quick: 4096, normal: 98_304 }),
      dim: 256,
      batchSize: 256,
      seconds: sized(size, { quick: 0.2, normal: 5 }),
    }
    return [
      {
        title: `bank look-up, ${settings.rows.toLocaleString('en-US')} x 256, batch 256`,
        metric: LOOK_UP,
        better: 'less',
        sides: [
          { name: 'ours', program: 'ours/bank.ts', settings },
          { name: 'lightly', program: 'peer/bank.py', settings },
        ],
        goals: [{ against: 'lightly', ratio: 10 }],
      },
    ]
  },
}
