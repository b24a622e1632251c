/** How cost grows with the work: loader threads, batch, bank, length of the list. Ours alone. */

import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as pause } from 'node:timers/promises'
import { type Case, type Context, type Measure, sized } from '../measure.js'
import { IMAGES_PER_SECOND, ourTraining } from './training-sides.js'

function growing(
  name: string,
  note: string,
  plan: (context: Context) => Promise<readonly Case[]>,
): Measure {
  return {
    name,
    family: 'growth',
    onlyNamed: () => 'it compares nnclr with itself',
    notes: () => [`${name}: ${note}`],
    plan,
  }
}

const count = (value: number): string => value.toLocaleString('en-US')
const speed = { metric: IMAGES_PER_SECOND, better: 'more', goals: [] } as const

export const growthWorkers: Measure = growing(
  'growth-workers',
  'two views at 224 px from JPEG files, nothing else running, all cores',
  async ({ size, pictures }) => {
    const number = sized(size, { quick: 16, normal: 200 })
    const data = await pictures.folder('photographs', number)
    const seconds = sized(size, { quick: 0.2, normal: 5 })
    const settings = { data, imageSize: 224, batchSize: number / 4, seconds, decoded: false }
    return [1, 2, 4, 8].map((workers) => ({
      ...speed,
      title: workers === 1 ? '1 loader thread' : `${workers} loader threads`,
      sides: [{ name: 'ours', program: 'ours/views.ts', settings: { ...settings, workers } }],
    }))
  },
)

/** A training of a few steps. */
async function trainingCase(
  context: Context,
  title: string,
  of: { batchSize: number; bankSize?: number },
): Promise<Case> {
  const number = Math.max(2 * of.batchSize, sized(context.size, { quick: 64, normal: 2048 }))
  const data = await context.pictures.folder('small', number)
  const warmUp = await context.pictures.folder('small', of.batchSize)
  return { ...speed, title, sides: [ourTraining(context, { data, warmUp, ...of })] }
}

export const growthBatch: Measure = growing(
  'growth-batch',
  'epochs of ResNet-18 at 32 px, bank 4,096, fp32, decoding included',
  (context) => {
    const sizes = sized(context.size, { quick: [16, 32], normal: [32, 64, 128, 256, 512] })
    return Promise.all(
      sizes.map((batchSize) => trainingCase(context, `batch ${batchSize}`, { batchSize })),
    )
  },
)

export const growthBank: Measure = growing(
  'growth-bank',
  'epochs of ResNet-18 at 32 px, batch 256 (quick: 32), fp32, decoding included',
  (context) => {
    const batchSize = sized(context.size, { quick: 32, normal: 256 })
    const sizes = sized(context.size, {
      quick: [4096, 16_384],
      normal: [4096, 16_384, 65_536, 262_144],
    })
    return Promise.all(
      sizes.map((bankSize) =>
        trainingCase(context, `bank of ${count(bankSize)}`, { batchSize, bankSize }),
      ),
    )
  },
)

/** Pictures in a folder, as ImageNet has them. */
const PER_FOLDER = 1000

/** Empty files by name: listing never opens them. */
async function emptyFiles(scratch: string, files: number): Promise<string> {
  const root = join(scratch, `list-${files}`)
  for (let start = 0; start < files; start += PER_FOLDER) {
    const folder = join(root, `class${String(start / PER_FOLDER).padStart(4, '0')}`)
    mkdirSync(folder, { recursive: true })
    for (let i = start; i < Math.min(files, start + PER_FOLDER); i++) {
      closeSync(openSync(join(folder, `picture${String(i).padStart(7, '0')}.jpg`), 'w'))
    }
    await pause()
  }
  return root
}

export const growthSet: Measure = growing(
  'growth-set',
  "listing and shuffling empty files in folders of 1,000; memory is what the process's resident set grows by",
  async ({ size, scratch }) => {
    const sizes = sized(size, { quick: [1000], normal: [1000, 10_000, 100_000, 1_000_000] })
    const cases: Case[] = []
    for (const files of sizes) {
      const data = await emptyFiles(scratch, files)
      cases.push({
        title: `${count(files)} files`,
        metric: { key: 'list', label: 'listing', unit: 's' },
        better: 'less',
        goals: [],
        also: [
          { key: 'shuffle', label: 'shuffling', unit: 'ms', scale: 1000 },
          { key: 'memory', label: 'memory', unit: 'MiB', scale: 2 ** -20 },
        ],
        sides: [{ name: 'ours', program: 'ours/listing.ts', settings: { data } }],
      })
    }
    return cases
  },
)
