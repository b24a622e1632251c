/**
 * nnclr's side of peer/views.py: batches of two normalised views by `DataLoader`; prints images a
 * second. `decoded` keeps decoded pictures from the untimed first epoch on.
 */

import { DataLoader, SimCLRTransform, synchronize } from '../../ts/index.js'
import { print, readSettings, repeatFor } from './program.js'

interface ViewSettings {
  readonly data: string
  readonly imageSize: number
  readonly batchSize: number
  readonly seconds: number
  readonly decoded: boolean
  readonly workers: number
}

const { data, imageSize, batchSize, seconds, decoded, workers } = readSettings<ViewSettings>()
const loader = new DataLoader(data, {
  transform: new SimCLRTransform({ inputSize: imageSize }),
  batchSize,
  shuffle: true,
  dropLast: true,
  numWorkers: workers,
  ...(decoded ? {} : { cacheBytes: 0 }),
})
let images = 0
async function epoch(): Promise<void> {
  for await (const { views } of loader) images += views[0].shape[0] ?? 0
  await synchronize()
}
await epoch()
images = 0
const passed = await repeatFor(seconds, epoch)
await loader.dispose()
print({ imagesPerSecond: images / passed })
