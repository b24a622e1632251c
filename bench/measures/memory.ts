/** Peak memory of a training, summed over all processes. */

import { always, type Measure, sized } from '../measure.js'
import { ourTraining, peerTraining } from './training-sides.js'

export const memory: Measure = {
  name: 'memory',
  onlyNamed: always,
  notes: () => [
    'memory: peak of the proportional set sizes of all processes of a training of an epoch, its start and its end included, sampled every 200 ms',
  ],
  async plan(context) {
    const { pictures, size } = context
    const batchSize = sized(size, { quick: 32, normal: 256 })
    const data = await pictures.folder('small', sized(size, { quick: 96, normal: 2560 }))
    const training = { data, warmUp: null, batchSize, watchMemory: true }
    return [
      {
        title: 'peak memory of a training, ResNet-18 at 32 px',
        metric: { key: 'peakPss', label: 'peak', unit: 'MiB', scale: 2 ** -20 },
        better: 'less',
        sides: [ourTraining(context, training), peerTraining(training)],
        goals: [{ against: 'lightly', ratio: 2 }],
      },
    ]
  },
}
