/** The same epochs in bf16, against the reference under autocast and as it is. */

import { type Measure, sized } from '../measure.js'
import { epochTraining } from './epoch.js'
import { AS_IT_IS, AUTOCAST, EPOCH_SECONDS, ourTraining, peerTraining } from './training-sides.js'

export const epochBf16: Measure = {
  name: 'epoch-bf16',
  onlyNamed: ({ hasBf16 }) =>
    hasBf16 ? null : 'this processor has no bf16 units and emulates the arithmetic',
  notes: ({ hasBf16 }) =>
    hasBf16
      ? []
      : [
          'epoch-bf16: this processor has no bf16 units; one batch of 32 pictures stands for the epoch, and the goal does not apply',
        ],
  async plan(context) {
    const whole = await epochTraining(context)
    // Emulated, a step of 256 takes minutes.
    const training = context.hasBf16
      ? whole
      : { ...whole, data: await context.pictures.folder('small', 32), warmUp: null, batchSize: 32 }
    const isWorthFp32 = context.hasBf16 && sized(context.size, { quick: false, normal: true })
    return [
      {
        title: 'epoch, ResNet-18 at 32 px, bf16',
        metric: EPOCH_SECONDS,
        better: 'less',
        sides: [
          ourTraining(context, { ...training, precision: 'bf16' }),
          peerTraining({ ...training, precision: 'bf16' }, 'small', AUTOCAST),
          ...(isWorthFp32 ? [peerTraining(training, 'small', AS_IT_IS)] : []),
        ],
        goals: [
          context.hasBf16 ? { against: AUTOCAST, ratio: 3.5 } : { against: AUTOCAST },
          ...(isWorthFp32 ? [{ against: AS_IT_IS, ratio: 3.5 }] : []),
        ],
      },
    ]
  },
}
