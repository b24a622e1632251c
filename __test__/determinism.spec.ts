import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { openDataset, type TrainConfig } from '../ts/index.js'
import { loadBatches, openPictures, viewOptions } from '../ts/loader.js'
import { native } from '../ts/native.js'
import { presets } from '../ts/presets.js'
import { batches, naturals } from '../ts/sampler.js'
import { writePictures } from './fixtures-pictures.js'
import { checkpointOf, differing, type Told, tiny, told } from './fixtures-runs.js'

let folder: string
/** Seed 0, one worker, no cache. */
let first: Told

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  await writePictures(join(folder, 'pictures'), 20)
  first = await trained('first', { workers: 1, cacheBytes: 0 })
})

test.after.always(() => rm(folder, { recursive: true, force: true }))

/** Momentum, neighbours, augmentation, evaluation: all that is drawn or summed. */
function trained(name: string, changes: Partial<TrainConfig>): Promise<Told> {
  const data = join(folder, 'pictures')
  return told(tiny(join(folder, name), { data, validation: 0.2, ...changes }))
}

const metricsOf = ({ result }: Told) => readFile(join(result.out, 'metrics.jsonl'), 'utf8')

test('the same seed gives the same weights, momentum, bank and metrics', async (t) => {
  const again = await trained('again', { workers: 1, cacheBytes: 0 })
  t.deepEqual(await differing(checkpointOf(first.result), checkpointOf(again.result)), [])
  t.is(await metricsOf(again), await metricsOf(first))
})

test('four workers and a cache change nothing', async (t) => {
  const other = await trained('workers', { workers: 4, cacheBytes: 2 ** 26 })
  t.deepEqual(await differing(checkpointOf(first.result), checkpointOf(other.result)), [])
  t.is(await metricsOf(other), await metricsOf(first))
})

test('another seed is another training', async (t) => {
  const other = await trained('seed', { seed: 1, epochs: 1 })
  const different = await differing(checkpointOf(first.result), checkpointOf(other.result))
  t.true(different.includes('model/backbone.conv1.weight') && different.includes('bank/rows'))
  const [own, others] = [await metricsOf(first), await metricsOf(other)]
  t.not(own.split('\n')[1], others.split('\n')[1])
})

test('an epoch has the same batches byte by byte with any workers and cache', async (t) => {
  const dataset = await openDataset(join(folder, 'pictures'))
  const digest = async (workers: number, cacheBytes: number, seed = 7, epoch = 3) => {
    const set = openPictures(dataset, { ...presets.default, cacheBytes })
    const views = viewOptions(presets.lightly.transform)
    const options = { views, size: 16, seed, workers, onBadImage: 'error' }
    const loader = new native.Loader(set, options)
    const hash = createHash('sha256')
    // Twice: the second time from the cache, where there is one.
    for (let round = 0; round < 2; round++) {
      const plan = batches(naturals(dataset.length), 7, false)
      for await (const batch of loadBatches(loader, plan, epoch)) {
        hash.update(batch.indices).update(batch.pixels(0)).update(batch.pixels(1))
        t.notDeepEqual(batch.pixels(0), batch.pixels(1), 'two views are two draws')
      }
    }
    loader.dispose()
    set.dispose()
    return hash.digest('hex')
  }
  const expected = await digest(1, 0)
  for (const workers of [1, 2, 4]) t.is(await digest(workers, 2 ** 26), expected)
  t.is(await digest(4, 3000), expected, 'a cache that holds two pictures')
  t.not(await digest(1, 0, 8), expected, 'another seed')
  t.not(await digest(1, 0, 7, 4), expected, 'another epoch')
})
