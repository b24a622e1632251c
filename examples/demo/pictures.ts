/** Pixels and nearest neighbours, from the same native parts that training uses. */

import { basename } from 'node:path'
import type { TransformSettings } from '../../ts/config.js'
import type { Dataset } from '../../ts/data/dataset.js'
import { openPictures, viewOptions } from '../../ts/loader.js'
import { type Batch, native } from '../../ts/native.js'
import { presets } from '../../ts/presets.js'
import type { Pixels } from '../../ts/report/png.js'
import type { ViewPair } from '../../ts/report/report.js'
import type { Found, Rows } from './search.js'

const WORKERS = 2
/** Pictures a batch where all pixels of a set are wanted. */
const AT_ONCE = 256

/** Side of a picture on the page, pixels. */
const SHOWN_SIZE = 64

/** The pictures at `indices` as the page shows them. */
export async function shownPictures(
  dataset: Dataset,
  indices: readonly number[],
): Promise<Pixels[]> {
  return withBatch(dataset, { size: SHOWN_SIZE }, indices, (batch) => split(batch, 0))
}

/** The pictures at `indices`, each with the two views that the first epoch makes of it. */
export async function viewPairs(
  dataset: Dataset,
  indices: readonly number[],
  transform: TransformSettings,
  size: number,
  seed: number,
): Promise<ViewPair[]> {
  const originals = await shownPictures(dataset, indices)
  const options = { size, seed, views: viewOptions(transform) }
  return withBatch(dataset, options, indices, (batch) => {
    const [first, second] = [split(batch, 0), split(batch, 1)]
    return originals.flatMap((original, i) => {
      const [a, b] = [first[i], second[i]]
      return a && b ? [{ original, views: [a, b] as const }] : []
    })
  })
}

/** Mean and deviation of ImageNet's red, green and blue: what every network here gets is scaled by them. */
const CHANNEL_MEAN = [123.675, 116.28, 103.53] as const
const CHANNEL_DEVIATION = [58.395, 57.12, 57.375] as const

/** Every picture's pixels, as the network gets them, as a feature row: the baseline without learning. */
export async function pixelRows(dataset: Dataset, size: number): Promise<Rows> {
  const dim = 3 * size * size
  const features = new Float32Array(dataset.length * dim)
  for (let start = 0; start < dataset.length; start += AT_ONCE) {
    const count = Math.min(AT_ONCE, dataset.length - start)
    const indices = Array.from({ length: count }, (_, i) => start + i)
    await withBatch(dataset, { size }, indices, (batch) => {
      features.set(batch.pixels(0), start * dim)
    })
  }
  const standardised = features.map(
    (value, i) => (value - (CHANNEL_MEAN[i % 3] ?? 0)) / (CHANNEL_DEVIATION[i % 3] ?? 1),
  )
  return { features: standardised, count: dataset.length, dim }
}

/** The `k` references nearest to each query, by cosine. */
export async function nearest(references: Rows, queries: Rows, k: number): Promise<Found> {
  const index = new native.FeatureIndex(references.dim)
  try {
    await index.add(references.features)
    return { ...(await index.search(queries.features, k)), k }
  } finally {
    index.dispose()
  }
}

/** A picture's name for a caption: its file. */
export function fileName(dataset: Dataset, index: number): string {
  return basename(dataset.path(index))
}

async function withBatch<T>(
  dataset: Dataset,
  options: { size: number; seed?: number; views?: ReturnType<typeof viewOptions> },
  indices: readonly number[],
  use: (batch: Batch) => T,
): Promise<T> {
  const { maxPixels, maxBytes, background } = presets.default
  const pictures = openPictures(dataset, { maxPixels, maxBytes, background, cacheBytes: 0 })
  const loader = new native.Loader(pictures, {
    seed: 0,
    workers: WORKERS,
    onBadImage: 'substitute',
    ...options,
  })
  try {
    const batch = await loader.load(Uint32Array.from(indices), 0)
    const result = use(batch)
    batch.dispose()
    return result
  } finally {
    loader.dispose()
    pictures.dispose()
  }
}

function split(batch: Batch, view: number): Pixels[] {
  const { length, size } = batch
  const bytes = 3 * size * size
  const pixels = batch.pixels(view)
  return Array.from({ length }, (_, i) => ({
    width: size,
    height: size,
    data: pixels.subarray(i * bytes, (i + 1) * bytes),
  }))
}
