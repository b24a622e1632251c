/** From the import to the end of the first step. */

import { always, type Measure, sized } from '../measure.js'
import { peerTraining } from './training-sides.js'

export const firstStep: Measure = {
  name: 'first-step',
  onlyNamed: always,
  notes: () => ['first-step: from the first line of the program, before its imports'],
  async plan({ pictures, size, scratch, threads }) {
    const batchSize = sized(size, { quick: 32, normal: 256 })
    const data = await pictures.folder('small', batchSize)
    return [
      {
        title: 'import to first step finished, ResNet-18 at 32 px',
        metric: { key: 'firstStep', label: 'first step', unit: 's' },
        better: 'less',
        sides: [
          {
            name: 'ours',
            program: 'ours/first-step.mjs',
            settings: { data, scratch, batchSize, threads },
          },
          peerTraining({ data, warmUp: null, batchSize }),
        ],
        goals: [{ against: 'lightly' }, { atMost: 2 }],
      },
    ]
  },
}
