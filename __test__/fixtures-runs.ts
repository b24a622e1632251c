/** Tiny runs for tests: their settings, their events, and what they left. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TrainConfig, TrainEvent, TrainResult } from '../ts/index.js'
import { train } from '../ts/index.js'
import { samples } from './fixtures-pictures.js'

/** Everything but `data` and `out`: 16 pictures make 2 steps an epoch. */
export const TINY: Partial<TrainConfig> = {
  epochs: 2,
  batchSize: 8,
  imageSize: 16,
  backbone: 'resnet10',
  stem: 'small',
  projectionHead: { hidden: 16, out: 8 },
  predictionHead: { hidden: 16 },
  memoryBank: { size: 32 },
  optimizer: 'sgd',
  lr: 0.05,
  neighbourWarmup: 0.25,
  precision: 'fp32',
  device: 'cpu',
  threads: 1,
  workers: 1,
  logEverySteps: 1,
  evaluation: { k: 5 },
}

/** A tiny run's configuration; the pictures are in memory unless given. */
export function tiny(out: string, changes: Partial<TrainConfig> = {}): TrainConfig {
  return { ...TINY, data: samples(16), out, ...changes }
}

/** A finished run with its events. */
export interface Told {
  readonly events: TrainEvent[]
  readonly result: TrainResult
}

/** Trains and listens; `onEvent` sees each event at once. */
export async function told(
  config: TrainConfig,
  onEvent: (event: TrainEvent) => void = () => {},
): Promise<Told> {
  const run = train(config)
  const events: TrainEvent[] = []
  for await (const event of run) {
    events.push(event)
    onEvent(event)
  }
  return { events, result: await run }
}

/** The events of one kind. */
export function only<T extends TrainEvent['type']>(
  events: readonly TrainEvent[],
  type: T,
): Extract<TrainEvent, { type: T }>[] {
  return events.filter((event): event is Extract<TrainEvent, { type: T }> => event.type === type)
}

/** A file of JSON lines. */
export async function jsonLines(out: string, name: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(out, name), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** A safetensors file in its parts. */
export interface Parts {
  /** Tensors by name, each with its bytes. */
  readonly tensors: Map<string, { dtype: string; shape: number[]; bytes: Buffer }>
  readonly metadata: Record<string, string>
  /** Where the data begins. */
  readonly dataAt: number
}

/** Takes a safetensors file apart, without the code under test. */
export async function partsOf(path: string): Promise<Parts> {
  const file = await readFile(path)
  const dataAt = 8 + Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, dataAt)) as Record<string, unknown>
  const { __metadata__: metadata, ...entries } = header
  const tensors: Parts['tensors'] = new Map()
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets } = entry as {
      dtype: string
      shape: number[]
      data_offsets: [number, number]
    }
    const bytes = file.subarray(dataAt + data_offsets[0], dataAt + data_offsets[1])
    tensors.set(name, { dtype, shape, bytes })
  }
  return { tensors, metadata: metadata as Record<string, string>, dataAt }
}

/** Names of the tensors that differ between two files in dtype, shape or a single bit. */
export async function differing(first: string, second: string): Promise<string[]> {
  const [a, b] = [(await partsOf(first)).tensors, (await partsOf(second)).tensors]
  const names = [...new Set([...a.keys(), ...b.keys()])]
  return names.filter((name) => {
    const [one, other] = [a.get(name), b.get(name)]
    if (one === undefined || other === undefined) return true
    return (
      one.dtype !== other.dtype ||
      one.shape.join() !== other.shape.join() ||
      !one.bytes.equals(other.bytes)
    )
  })
}

/** The path of a result's checkpoint. */
export function checkpointOf({ checkpoint }: TrainResult): string {
  if (checkpoint === null) throw new Error('the run left no checkpoint')
  return checkpoint
}
