/** A few steps of the reference program with ResNet-50 at 224 px on photographs. */

import { always, type Case, type Measure, sized } from '../measure.js'
import { IMAGES_PER_SECOND, ourTraining, peerTraining } from './training-sides.js'

export const epochResnet50: Measure = {
  name: 'epoch-resnet50',
  onlyNamed: always,
  notes: ({ size }) => [
    `epoch-resnet50: ${sized(size, { quick: 'two steps of 4', normal: 'four steps of 32' })} pictures after one to warm up`,
  ],
  async plan(context) {
    const batchSize = sized(context.size, { quick: 4, normal: 32 })
    const steps = sized(context.size, { quick: 2, normal: 4 })
    const data = await context.pictures.folder('photographs', steps * batchSize)
    const warmUp = await context.pictures.folder('photographs', batchSize)
    const cases = (precision: 'fp32' | 'bf16', ratio: number): Case => {
      const training = { data, warmUp, batchSize, precision }
      return {
        title: `steps of ResNet-50 at 224 px, ${precision}`,
        metric: IMAGES_PER_SECOND,
        better: 'more',
        sides: [ourTraining(context, training, 'large'), peerTraining(training, 'large')],
        goals: [{ against: 'lightly', ratio }],
      }
    }
    return [cases('fp32', 1.5), ...(context.hasBf16 ? [cases('bf16', 3)] : [])]
  },
}
