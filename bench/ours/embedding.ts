/**
 * nnclr's side of peer/embedding.py; prints images a second. `batches` has the 8-bit pixels in memory
 * before the clock starts; their normalisation counts. `files` is the whole `embed`: opening the
 * backbone, reading, decoding.
 */

import { join } from 'node:path'
import { fitToSet, resolveConfig } from '../../ts/config.js'
import { embed, openDataset } from '../../ts/index.js'
import { loadBatches, openPictures } from '../../ts/loader.js'
import { type Batch, native } from '../../ts/native.js'
import { batches, naturals } from '../../ts/sampler.js'
import { createSession, workersOf } from '../../ts/session.js'
import { print, readSettings, repeatFor, secondsSince } from './program.js'

interface EmbeddingSettings {
  readonly data: string
  readonly scratch: string
  readonly imageSize: number
  readonly batchSize: number
  readonly seconds: number
  readonly form: 'batches' | 'files'
  readonly precision: 'fp32' | 'bf16'
  readonly threads: number
}

const settings = readSettings<EmbeddingSettings>()
const { data, imageSize, batchSize, precision, threads } = settings
const dataset = await openDataset(data)
const config = fitToSet(
  resolveConfig({
    preset: 'lightly',
    data,
    out: 'unused',
    imageSize,
    batchSize,
    precision,
    threads,
    device: 'cpu',
  }),
  dataset.length,
)
const session = await createSession(config)

/** Every batch in memory. */
async function readBatches(): Promise<Batch[]> {
  const options = { size: imageSize, seed: 0, workers: workersOf(config), onBadImage: 'error' }
  const loader = new native.Loader(openPictures(dataset, config), options)
  const all: Batch[] = []
  for (const places of batches(naturals(dataset.length), batchSize, false)) {
    all.push(await loader.load(places, 0))
  }
  loader.dispose()
  return all
}

async function fromBatches(): Promise<number> {
  const all = await readBatches()
  let images = 0
  const pass = async (): Promise<void> => {
    for (const batch of all) {
      await session.embed(batch)
      images += batch.length
    }
  }
  await pass()
  images = 0
  const passed = await repeatFor(settings.seconds, pass)
  return images / passed
}

async function fromFiles(): Promise<number> {
  const checkpoint = join(settings.scratch, 'bench-backbone.safetensors')
  const { backbone, stem } = config
  const metadata = { kind: 'backbone', config: { backbone, stem, imageSize, precision } }
  await session.exportBackbone(checkpoint, JSON.stringify(metadata))
  await warmUp()
  const start = performance.now()
  const { count } = await embed({ data, checkpoint, batchSize, threads, device: 'cpu' })
  return count / secondsSince(start)
}

/** One batch through the network, and the files through the system's cache, as the reference has it. */
async function warmUp(): Promise<void> {
  const source = openPictures(dataset, { ...config, cacheBytes: 0 })
  const options = { size: imageSize, seed: 0, workers: workersOf(config), onBadImage: 'error' }
  const loader = new native.Loader(source, options)
  let isFirst = true
  for await (const batch of loadBatches(
    loader,
    batches(naturals(dataset.length), batchSize, false),
    0,
  )) {
    if (isFirst) await session.embed(batch)
    isFirst = false
  }
  loader.dispose()
}

print({ imagesPerSecond: await (settings.form === 'files' ? fromFiles() : fromBatches()) })
session.dispose()
