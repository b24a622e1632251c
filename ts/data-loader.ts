/** Batches for the hand-written loop, as `torch.utils.data.DataLoader` with lightly's transform. */

import type { TransformSettings } from './config.js'
import type { DataInput, Dataset } from './data/dataset.js'
import { openDataset } from './data/open-dataset.js'
import type { DistributedSampler } from './distributed/sampler.js'
import { NnclrError } from './errors.js'
import { loadBatches, openPictures, viewOptions } from './loader.js'
import { type BadPicture, guarded, type Loader, native } from './native.js'
import { presets } from './presets.js'
import { batches, epochOrder, stepsPerEpoch } from './sampler.js'
import { workersOf } from './session.js'
import { called, Tensor } from './tensor.js'

/** Arguments of `SimCLRTransform`, named and defaulted as lightly's. */
export interface SimCLRTransformOptions {
  /** Width and height of a view in pixels. @default 224 */
  readonly inputSize?: number
  /** Probability of the colour jitter. @default 0.8 */
  readonly cjProb?: number
  /** Factor of the four jitter strengths. @default 1 */
  readonly cjStrength?: number
  /** @default 0.8 */
  readonly cjBright?: number
  /** @default 0.8 */
  readonly cjContrast?: number
  /** @default 0.8 */
  readonly cjSat?: number
  /** @default 0.2 */
  readonly cjHue?: number
  /** Smallest area of the crop, as a share of the picture. @default 0.08 */
  readonly minScale?: number
  /** Probability of grey. @default 0.2 */
  readonly randomGrayScale?: number
  /** Probability of the blur. @default 0.5 */
  readonly gaussianBlur?: number
  /** Smallest and largest sigma of the blur. @default [0.1, 2] */
  readonly sigmas?: readonly [number, number]
  /** Probability of a vertical flip. @default 0 */
  readonly vfProb?: number
  /** Probability of a horizontal flip. @default 0.5 */
  readonly hfProb?: number
  /** Probability of a rotation. @default 0 */
  readonly rrProb?: number
  /** Largest rotation in degrees; null turns by 90. @default null */
  readonly rrDegrees?: number | null
}

/** `lightly.transforms.simclr_transform.SimCLRTransform`: two random views, normalised as ImageNet. */
export class SimCLRTransform {
  /** Width and height of a view in pixels. */
  readonly inputSize: number
  /** The settings under nnclr's names. */
  readonly settings: TransformSettings

  /** Every argument has lightly's default. */
  constructor(options: SimCLRTransformOptions = {}) {
    const base = presets.lightly.transform
    this.inputSize = options.inputSize ?? 224
    this.settings = {
      cropScale: [options.minScale ?? base.cropScale[0], base.cropScale[1]],
      cropRatio: base.cropRatio,
      horizontalFlip: options.hfProb ?? base.horizontalFlip,
      verticalFlip: options.vfProb ?? base.verticalFlip,
      rotation: options.rrProb ?? base.rotation,
      rotationDegrees: options.rrDegrees ?? null,
      jitter: options.cjProb ?? base.jitter,
      jitterStrength: options.cjStrength ?? base.jitterStrength,
      brightness: options.cjBright ?? base.brightness,
      contrast: options.cjContrast ?? base.contrast,
      saturation: options.cjSat ?? base.saturation,
      hue: options.cjHue ?? base.hue,
      grayscale: options.randomGrayScale ?? base.grayscale,
      blur: options.gaussianBlur ?? base.blur,
      blurSigma: [...(options.sigmas ?? base.blurSigma)] as [number, number],
    }
  }
}

/** Options of a loader. */
export interface DataLoaderOptions {
  /** How a picture becomes two views. @default new SimCLRTransform() */
  readonly transform?: SimCLRTransform
  /** Pictures a batch. @default 256 */
  readonly batchSize?: number
  /** A new order each epoch. @default false, as PyTorch */
  readonly shuffle?: boolean
  /** Which pictures and in which order, instead of `shuffle`: a rank's share of the set. */
  readonly sampler?: DistributedSampler
  /** Leave out a last batch that is not full. @default false, as PyTorch */
  readonly dropLast?: boolean
  /** Threads that read pictures; no result depends on it. @default one a core, at most 8 */
  readonly numWorkers?: number
  /** Decides order and augmentation. @default 0 */
  readonly seed?: number
  /** Where the views go. @default 'cpu' */
  readonly device?: string
  /** `skip` puts the next readable picture in the place of a bad one. @default 'skip' */
  readonly onBadImage?: 'error' | 'skip'
  /** Memory for decoded pictures, in bytes. @default 1 GiB */
  readonly cacheBytes?: number
}

/** A batch of the hand-written loop. */
export interface DataBatch {
  /** Two views, float32 `[N, 3, inputSize, inputSize]`; let go when the loop asks for the next batch. */
  readonly views: readonly [Tensor, Tensor]
  /** Each picture's place in the set. */
  readonly indices: Uint32Array
  /** Each picture's class, null without labels. */
  readonly labels: Int32Array | null
  /** Pictures met on the way that could not be read. */
  readonly bad: readonly BadPicture[]
}

/**
 * Two views of every picture in batches; each `for await` over it is one epoch, and the next one sees
 * another order and other crops. The loader holds back a loop that never awaits: at most two batches
 * of work wait on the native thread.
 */
export class DataLoader implements AsyncIterable<DataBatch> {
  /** Epochs begun so far; set it to go on from another one. */
  epoch = 0
  readonly #data: DataInput
  readonly #options: Required<Omit<DataLoaderOptions, 'numWorkers' | 'sampler'>> & {
    workers: number
  }
  readonly #sampler: DistributedSampler | null
  #opened: Promise<{ dataset: Dataset; loader: Loader }> | null = null

  /** Nothing is read before the first batch. @throws NnclrError CONFIG for options out of range. */
  constructor(data: DataInput, options: DataLoaderOptions = {}) {
    const { numWorkers, sampler = null, ...rest } = options
    this.#data = data
    this.#sampler = sampler
    this.#options = {
      transform: new SimCLRTransform(),
      batchSize: 256,
      shuffle: false,
      dropLast: false,
      seed: 0,
      device: 'cpu',
      onBadImage: 'skip',
      cacheBytes: presets.default.cacheBytes,
      ...rest,
      workers: workersOf({ workers: numWorkers ?? 'auto' }),
    }
    const { batchSize, shuffle } = this.#options
    if (!(Number.isInteger(batchSize) && batchSize > 0)) {
      const expected = 'a whole number above 0'
      throw NnclrError.config([{ field: 'batchSize', value: String(batchSize), expected }])
    }
    if (sampler !== null && shuffle) {
      const expected = 'no shuffle beside a sampler, which has its own'
      throw NnclrError.config([{ field: 'shuffle', value: 'true', expected }])
    }
  }

  /** Batches an epoch: Python's `len(loader)`. Opens the set. */
  async steps(): Promise<number> {
    const { dataset } = await this.#open()
    const { batchSize, dropLast } = this.#options
    return stepsPerEpoch(this.#sampler?.length ?? dataset.length, batchSize, dropLast)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<DataBatch, void, void> {
    const { seed, shuffle, batchSize, dropLast, device } = this.#options
    const { dataset, loader } = await this.#open()
    const epoch = this.#sampler?.epoch ?? this.epoch
    this.epoch = epoch + 1
    const order =
      this.#sampler?.indices(epoch) ?? epochOrder(dataset.length, { seed, epoch, shuffle })
    const source = loadBatches(loader, batches(order, batchSize, dropLast), epoch)
    let before: Promise<void> = Promise.resolve()
    try {
      for await (const batch of source) {
        const { indices, labels, bad } = batch
        const views = [Tensor.ofBatch(batch, 0, device), Tensor.ofBatch(batch, 1, device)] as const
        try {
          yield { views: [views[0], views[1]], indices, labels, bad }
        } finally {
          for (const view of views) view.dispose()
        }
        const now = native.fence()
        await before
        before = now
      }
      await before
    } catch (error) {
      throw NnclrError.from(error)
    }
  }

  /** Ends the reading threads. */
  async dispose(): Promise<void> {
    const opened = this.#opened
    this.#opened = null
    if (opened !== null) (await opened).loader.dispose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  #open(): Promise<{ dataset: Dataset; loader: Loader }> {
    this.#opened ??= guarded(async () => {
      const { transform, seed, workers, onBadImage, cacheBytes } = this.#options
      const { maxPixels, maxBytes, background } = presets.default
      const dataset = await openDataset(this.#data)
      const expected = this.#sampler?.dataLength ?? dataset.length
      if (expected !== dataset.length) {
        const value = `one of ${expected} pictures`
        const of = `the sampler of this set: ${dataset.length} pictures`
        throw NnclrError.config([{ field: 'sampler', value, expected: of }])
      }
      const pictures = openPictures(dataset, { cacheBytes, maxPixels, maxBytes, background })
      const loader = called(
        () =>
          new native.Loader(pictures, {
            views: viewOptions(transform.settings),
            size: transform.inputSize,
            seed,
            workers,
            onBadImage: onBadImage === 'skip' ? 'substitute' : 'error',
          }),
      )
      return { dataset, loader }
    })
    return this.#opened
  }
}
