/** Features of ResNet-18 at 224 px: the network alone, and the whole way from files. */

import { always, type Context, type Measure, PEER_WORKERS, type Side, sized } from '../measure.js'
import { IMAGES_PER_SECOND } from './training-sides.js'

const EAGER = 'PyTorch, eager fp32'
const BF16 = 'PyTorch, bf16 channels-last'

async function sidesOf(
  { pictures, size, hasBf16, scratch, threads }: Context,
  form: 'batches' | 'files',
): Promise<Side[]> {
  const count = sized(size, { quick: 16, normal: form === 'files' ? 200 : 64 })
  const settings = {
    data: await pictures.folder('photographs', count),
    form,
    imageSize: 224,
    batchSize: Math.min(count, 64),
    seconds: sized(size, { quick: 0.2, normal: 6 }),
  }
  const peer = (name: string, precision: string): Side => ({
    name,
    program: 'peer/embedding.py',
    settings: { ...settings, precision, workers: PEER_WORKERS },
  })
  return [
    {
      name: 'ours',
      program: 'ours/embedding.ts',
      // As `precision: 'auto'` decides.
      settings: { ...settings, scratch, threads, precision: hasBf16 ? 'bf16' : 'fp32' },
    },
    peer(EAGER, 'fp32'),
    ...(hasBf16 ? [peer(BF16, 'bf16')] : []),
  ]
}

export const embed: Measure = {
  name: 'embed',
  onlyNamed: always,
  notes: ({ hasBf16 }) => [
    `embed: nnclr computes in ${hasBf16 ? 'bf16' : 'fp32'}, which \`precision: 'auto'\` means here, and starts from 8-bit pixels; the reference from normalised batches`,
  ],
  async plan(context) {
    return [
      {
        title: 'embedding, ResNet-18 at 224 px, from pixels in memory',
        metric: IMAGES_PER_SECOND,
        better: 'more',
        sides: await sidesOf(context, 'batches'),
        goals: [
          { against: EAGER, ratio: 4 },
          ...(context.hasBf16 ? [{ against: BF16, ratio: 1.2 }] : []),
        ],
      },
      {
        title: 'the same from JPEG files, the whole `embed`',
        metric: IMAGES_PER_SECOND,
        better: 'more',
        sides: await sidesOf(context, 'files'),
        goals: [{ against: EAGER }, ...(context.hasBf16 ? [{ against: BF16 }] : [])],
      },
    ]
  },
}
