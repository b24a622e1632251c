/** Whole epochs of the reference program at 32 px, fp32. */

import { always, type Context, type Measure, sized } from '../measure.js'
import { EPOCH_SECONDS, ourTraining, peerTraining, type Training } from './training-sides.js'

/** The epoch's pictures, and two batches to warm up with. */
export async function epochTraining({ pictures, size }: Context): Promise<Training> {
  const batchSize = sized(size, { quick: 32, normal: 256 })
  const count = sized(size, { quick: 96, normal: 10_000, full: 50_000 })
  return {
    data: await pictures.folder('small', count),
    warmUp: await pictures.folder('small', 2 * batchSize),
    batchSize,
  }
}

export const epoch: Measure = {
  name: 'epoch',
  onlyNamed: always,
  notes: ({ size }) => [
    `epoch: ${sized(size, { quick: '96', normal: '10,000', full: '50,000' })} pictures; two steps on a few pictures come before the clock starts; what follows counts, with the loader's start and the decoding`,
  ],
  async plan(context) {
    const training = await epochTraining(context)
    return [
      {
        title: 'epoch, ResNet-18 at 32 px, fp32',
        metric: EPOCH_SECONDS,
        better: 'less',
        sides: [ourTraining(context, training), peerTraining(training)],
        goals: [{ against: 'lightly', ratio: 2 }],
      },
    ]
  },
}
