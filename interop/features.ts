/**
 * nnclr's side of check.py: backbone features of a folder of pictures.
 *
 *     node --import=@oxc-node/core/register interop/features.ts '{ "weights": ..., "data": ..., ... }'
 *
 * With `epochs` 0 the run ends before its first step: the features are those of `weights`.
 */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { embed, train } from '../ts/index.js'

interface Job {
  readonly data: string
  readonly out: string
  readonly backbone: 'resnet10' | 'resnet18' | 'resnet50'
  readonly stem: 'imagenet' | 'cifar' | 'small'
  readonly imageSize: number
  readonly epochs: number
  readonly weights: string | null
}

const { epochs, ...job } = JSON.parse(process.argv[2] ?? '{}') as Job
// bf16 would agree to 1e-2 only.
const run = train({
  ...job,
  epochs: Math.max(1, epochs),
  batchSize: 8,
  projectionHead: { hidden: 32, out: 16 },
  predictionHead: { hidden: 32 },
  memoryBank: { size: 64 },
  precision: 'fp32',
  device: 'cpu',
  ...(epochs === 0 ? { signal: AbortSignal.abort() } : {}),
})
const notes: string[] = []
for await (const event of run) if (event.type === 'warning') notes.push(event.message)
const { checkpoint, exported } = await run
if (checkpoint === null) throw new Error('the run left no checkpoint')

const { features, paths } = await embed({ data: job.data, checkpoint, device: 'cpu' })
await writeFile(join(job.out, 'features.f32'), features)
console.log(JSON.stringify({ checkpoint, exported, paths, notes }))
