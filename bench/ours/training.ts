/** nnclr's side of peer/training.py: one epoch by `train`, with preset `lightly`; prints its numbers. */

import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { StepEvent } from '../../ts/events.js'
import { type TrainConfig, train } from '../../ts/index.js'
import { print, readSettings } from './program.js'

interface TrainingSettings {
  readonly data: string
  readonly warmUp: string | null
  /** Folder for run directories. */
  readonly scratch: string
  readonly imageSize: number
  readonly backbone: 'resnet18' | 'resnet50'
  readonly batchSize: number
  readonly projectionHead: readonly [inputs: number, hidden: number, out: number]
  readonly predictionHead: readonly [inputs: number, hidden: number, out: number]
  readonly bank: readonly [rows: number, dim: number]
  readonly precision: 'fp32' | 'bf16'
  readonly threads: number
  /** Ranks. */
  readonly devices?: number
  readonly syncBatchNorm?: boolean
}

/** Steps whose waiting does not count: the loader is filling, libtorch is choosing its kernels. */
const WARM_UP_STEPS = 2

const settings = readSettings<TrainingSettings>()

function configOf(data: string, out: string): TrainConfig {
  const { imageSize, backbone, batchSize, precision, threads } = settings
  const { devices = 1, syncBatchNorm = true } = settings
  return {
    preset: 'lightly',
    data,
    out: join(settings.scratch, out),
    overwrite: true,
    epochs: 1,
    imageSize,
    backbone,
    batchSize,
    projectionHead: { hidden: settings.projectionHead[1], out: settings.projectionHead[2] },
    predictionHead: { hidden: settings.predictionHead[1] },
    memoryBank: { size: settings.bank[0] },
    precision,
    threads,
    devices,
    syncBatchNorm,
    device: 'cpu',
    logEverySteps: 1,
  }
}

/** Share of time spent waiting for data over the given steps. */
function waitingShare(steps: readonly StepEvent[]): number {
  let [waited, total] = [0, 0]
  for (const { imagesPerSecond, dataWait } of steps) {
    const seconds = settings.batchSize / imagesPerSecond
    waited += dataWait * seconds
    total += seconds
  }
  return waited / Math.max(total, 1e-9)
}

if (settings.warmUp !== null) await train(configOf(settings.warmUp, 'warm-up'))
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
const steps: StepEvent[] = []
let epoch: { seconds: number; imagesPerSecond: number; loss: number } | null = null
for await (const event of train(configOf(settings.data, 'timed'))) {
  if (event.type === 'step') steps.push(event)
  if (event.type === 'epoch') epoch = event
}
delay.disable()
if (epoch === null) throw new Error('the epoch did not end')
print({
  seconds: epoch.seconds,
  imagesPerSecond: epoch.imagesPerSecond,
  dataWait: waitingShare(steps.slice(WARM_UP_STEPS)),
  eventLoopP99: delay.percentile(99) / 1e6,
  eventLoopMax: delay.max / 1e6,
  steps: steps.length,
  loss: epoch.loss,
})
