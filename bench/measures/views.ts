/** SimCLR's two views, on one core: the transform alone at 32 px, files and cache at 224 px. */

import { always, type Case, type Context, type Measure, sized } from '../measure.js'
import type { PictureKind } from '../pictures.js'
import { IMAGES_PER_SECOND } from './training-sides.js'

interface Views {
  readonly title: string
  readonly kind: PictureKind
  readonly imageSize: number
  readonly batchSize: number
  readonly count: number
  /** Whether ours, and whether the reference, has the pictures decoded. */
  readonly decoded: readonly [ours: boolean, peer: boolean]
  readonly ratio: number
}

async function viewCase({ pictures, size }: Context, views: Views): Promise<Case> {
  const { title, kind, imageSize, decoded, ratio } = views
  const count = sized(size, { quick: Math.min(32, views.count), normal: views.count })
  const settings = {
    data: await pictures.folder(kind, count),
    imageSize,
    batchSize: Math.min(views.batchSize, count),
    seconds: sized(size, { quick: 0.2, normal: 6 }),
  }
  const [ours, peer] = decoded
  return {
    title,
    metric: IMAGES_PER_SECOND,
    better: 'more',
    sides: [
      {
        name: 'ours',
        program: 'ours/views.ts',
        settings: { ...settings, decoded: ours, workers: 1 },
        isOneCore: true,
      },
      {
        name: 'lightly',
        program: 'peer/views.py',
        settings: { ...settings, decoded: peer },
        isOneCore: true,
      },
    ],
    goals: [{ against: 'lightly', ratio }],
  }
}

/** The reference has its pictures in memory too: torchvision's CIFAR10 does. */
export const views32: Measure = {
  name: 'views-32',
  onlyNamed: always,
  notes: () => [
    'views-32: both sides have the pictures decoded in memory; normalised batches come out',
  ],
  plan: async (context) => [
    await viewCase(context, {
      title: 'two views at 32 px, one core',
      kind: 'small',
      imageSize: 32,
      batchSize: 256,
      count: 2560,
      decoded: [true, true],
      ratio: 10,
    }),
  ],
}

const PHOTOGRAPHS = { kind: 'photographs', imageSize: 224, batchSize: 50, count: 200 } as const

export const views224: Measure = {
  name: 'views-224',
  onlyNamed: always,
  notes: () => [
    "views-224: both sides read and decode every file each time; the files lie in the system's cache",
  ],
  plan: async (context) => [
    await viewCase(context, {
      ...PHOTOGRAPHS,
      title: 'two views at 224 px from JPEG files, one core',
      decoded: [false, false],
      ratio: 4,
    }),
  ],
}

export const views224Cached: Measure = {
  name: 'views-224-cached',
  onlyNamed: always,
  notes: () => ['views-224-cached: the reference has no cache and decodes'],
  plan: async (context) => [
    await viewCase(context, {
      ...PHOTOGRAPHS,
      title: 'the same from the decoded cache',
      decoded: [true, false],
      ratio: 8,
    }),
  ],
}
