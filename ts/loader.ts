/** From a data set to batches: the native loader, a few batches ahead of the one in use. */

import type { ResolvedConfig, TransformSettings } from './config.js'
import type { Dataset } from './data/dataset.js'
import {
  type Batch,
  type Loader,
  native,
  type PictureSet,
  type RandomViewOptions,
} from './native.js'

/** What decoding needs to know. */
export type DecodeSettings = Pick<
  ResolvedConfig,
  'cacheBytes' | 'maxPixels' | 'maxBytes' | 'background'
>

/** The native set of a data set's pictures. */
export function openPictures(dataset: Dataset, settings: DecodeSettings): PictureSet {
  const { cacheBytes, maxPixels, maxBytes, background } = settings
  return new native.PictureSet({
    ...(dataset.sources === null ? {} : { sources: dataset.sources }),
    ...(dataset.planar === null ? {} : { planar: dataset.planar }),
    ...(dataset.labels === null ? {} : { labels: dataset.labels }),
    cacheBytes,
    maxPixels,
    maxBytes,
    background,
  })
}

/** The transform as the native side takes it: strengths multiplied in. */
export function viewOptions(transform: TransformSettings): RandomViewOptions {
  const { jitterStrength, rotationDegrees, ...options } = transform
  return {
    ...options,
    ...(rotationDegrees === null ? {} : { rotationDegrees }),
    brightness: options.brightness * jitterStrength,
    contrast: options.contrast * jitterStrength,
    saturation: options.saturation * jitterStrength,
    hue: options.hue * jitterStrength,
  }
}

/** Batches that are being made while one is in use: enough to bridge an uneven picture or two. */
const AHEAD = 3

/**
 * Makes the batches of `plan` in order. A batch is let go when the next one is asked for; leaving the
 * loop early lets all of them go.
 */
export async function* loadBatches(
  loader: Loader,
  plan: Iterable<Uint32Array>,
  epoch: number,
): AsyncGenerator<Batch, void, void> {
  const waiting: Promise<Batch>[] = []
  const orders = plan[Symbol.iterator]()
  const request = (): void => {
    const order = orders.next()
    if (order.done === true) return
    const batch = loader.load(order.value, epoch)
    // Its failure is thrown where it is awaited below; until then nobody listens.
    batch.catch(() => {})
    waiting.push(batch)
  }
  try {
    for (let i = 0; i < AHEAD; i++) request()
    while (waiting.length > 0) {
      const batch = await (waiting.shift() as Promise<Batch>)
      request()
      try {
        yield batch
      } finally {
        batch.dispose()
      }
    }
  } finally {
    for (const batch of waiting) batch.then((made) => made.dispose()).catch(() => {})
  }
}
