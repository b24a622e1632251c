/** The training program of both sides with the same settings, for the measures that train. */

import { type Context, type Metric, PEER_WORKERS, type Side } from '../measure.js'

/** What a training is told, beyond what all trainings share. */
export interface Training {
  readonly data: string
  readonly warmUp: string | null
  readonly batchSize: number
  readonly precision?: 'fp32' | 'bf16'
  /** Rows of the bank. @default 4096 */
  readonly bankSize?: number
  readonly watchMemory?: boolean
}

/** Wall time of an epoch. */
export const EPOCH_SECONDS: Metric = { key: 'seconds', label: 'epoch', unit: 's' }
/** Pictures, that is pairs of views, a second. */
export const IMAGES_PER_SECOND: Metric = {
  key: 'imagesPerSecond',
  label: 'speed',
  unit: 'images/s',
}

/** The reference program under autocast. */
export const AUTOCAST = 'lightly, bf16 autocast'
/** The reference program as it is. */
export const AS_IT_IS = 'lightly, fp32'

/** The example program's network: ResNet-18 as torchvision has it, at 32 px. */
const SMALL = {
  imageSize: 32,
  backbone: 'resnet18',
  projectionHead: [512, 512, 128],
  predictionHead: [128, 512, 128],
  dim: 128,
}
/** The same program for photographs: ResNet-50 at 224 px, with the heads' default widths. */
const LARGE = {
  imageSize: 224,
  backbone: 'resnet50',
  projectionHead: [2048, 2048, 256],
  predictionHead: [256, 4096, 256],
  dim: 256,
}

function settingsOf(
  { dim, ...network }: typeof SMALL,
  training: Training,
): Record<string, unknown> {
  const { watchMemory: _, bankSize = 4096, precision = 'fp32', ...rest } = training
  return { ...network, ...rest, precision, bank: [bankSize, dim] }
}

/** nnclr's training. */
export function ourTraining(
  { scratch, threads }: Context,
  training: Training,
  network: 'small' | 'large' = 'small',
): Side {
  return {
    name: 'ours',
    program: 'ours/training.ts',
    settings: {
      ...settingsOf(network === 'small' ? SMALL : LARGE, training),
      scratch,
      threads,
    },
    watchMemory: training.watchMemory ?? false,
  }
}

/** The reference's training, by its example program. */
export function peerTraining(
  training: Training,
  network: 'small' | 'large' = 'small',
  name: string = 'lightly',
): Side {
  return {
    name,
    program: 'peer/training.py',
    settings: {
      ...settingsOf(network === 'small' ? SMALL : LARGE, training),
      workers: PEER_WORKERS,
    },
    watchMemory: training.watchMemory ?? false,
  }
}
