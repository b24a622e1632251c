/**
 * A few steps of the reference program with ResNet-50 at 224 px on photographs; in bf16 against the
 * reference under autocast and as it is.
 */

import { always, type Measure, type Side, sized } from '../measure.js'
import {
  AS_IT_IS,
  AUTOCAST,
  IMAGES_PER_SECOND,
  ourTraining,
  peerTraining,
} from './training-sides.js'

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
    const of = (precision: 'fp32' | 'bf16') => ({ data, warmUp, batchSize, precision }) as const
    const ours = (precision: 'fp32' | 'bf16'): Side => ourTraining(context, of(precision), 'large')
    const common = { metric: IMAGES_PER_SECOND, better: 'more' } as const
    const fp32 = {
      ...common,
      title: 'steps of ResNet-50 at 224 px, fp32',
      sides: [ours('fp32'), peerTraining(of('fp32'), 'large')],
      goals: [{ against: 'lightly', ratio: 1.5 }],
    }
    const bf16 = {
      ...common,
      title: 'steps of ResNet-50 at 224 px, bf16',
      sides: [
        ours('bf16'),
        peerTraining(of('bf16'), 'large', AUTOCAST),
        peerTraining(of('fp32'), 'large', AS_IT_IS),
      ],
      goals: [AUTOCAST, AS_IT_IS].map((against) => ({ against, ratio: 3 })),
    }
    return context.hasBf16 ? [fp32, bf16] : [fp32]
  },
}
