/** The native session of a configuration, and the machine's part of it. */

import { availableParallelism } from 'node:os'
import type { FittedConfig, ResolvedConfig } from './config.js'
import { diagnoseCuda } from './cuda/diagnosis.js'
import { NnclrError } from './errors.js'
import { native, type Session, type SessionOptions } from './native.js'

/** LARS scales each step to this share of the weight's length (lightly's and the paper's value). */
const TRUST_COEFFICIENT = 0.001

/** Cores for each of `sharers` processes on this machine. */
function coresFor(sharers: number): number {
  return Math.max(1, Math.floor(availableParallelism() / sharers))
}

/** Threads for libtorch in each of `sharers` processes on this machine. */
export function threadsOf(
  { threads }: Pick<ResolvedConfig, 'threads'>,
  sharers: number = 1,
): number {
  return threads === 'auto' ? coresFor(sharers) : threads
}

/** Threads that read pictures: decoding and augmenting keep up with training on a quarter of these. */
const MOST_WORKERS = 8

/** Threads for the loader in each of `sharers` processes on this machine. */
export function workersOf(
  { workers }: Pick<ResolvedConfig, 'workers'>,
  sharers: number = 1,
): number {
  return workers === 'auto' ? Math.min(MOST_WORKERS, coresFor(sharers)) : workers
}

/** `auto` means bf16 where the processor multiplies it in hardware. */
export function precisionOf({
  precision,
  device,
}: Pick<ResolvedConfig, 'precision' | 'device'>): 'fp32' | 'bf16' {
  if (precision !== 'auto') return precision
  return device.startsWith('cuda') || native.hasFastBf16() ? 'bf16' : 'fp32'
}

/** Fresh weights, memory bank and optimizer. */
export async function createSession(config: FittedConfig): Promise<Session> {
  try {
    return await native.Session.create(optionsOf(config))
  } catch (error) {
    throw await withCudaReason(error, config.device)
  }
}

/** The addon knows the folder that it was given; why it was given none is known here. */
async function withCudaReason(error: unknown, device: string): Promise<Error> {
  const known = NnclrError.from(error)
  if (!(known instanceof NnclrError) || known.code !== 'DEVICE') return known
  const { reason } = diagnoseCuda((await native.nativeInfo()).cudaReason)
  if (reason === null) return known
  return new NnclrError('DEVICE', device, `device ${device}: ${reason}`, { cause: error })
}

function optionsOf(config: FittedConfig): SessionOptions {
  return {
    backbone: config.backbone,
    stem: config.stem,
    projectionHidden: config.projectionHead.hidden,
    out: config.projectionHead.out,
    predictionHidden: config.predictionHead.hidden,
    bankSize: config.memoryBank.size,
    bankOnlyFilled: config.memoryBank.warmup === 'fill',
    loss: config.loss,
    temperature: config.temperature,
    viewLoss: config.viewLoss,
    optimizer: config.optimizer,
    momentum: config.momentum,
    nesterov: config.nesterov,
    weightDecay: config.weightDecay,
    excludeNorms: config.optimizer !== 'sgd',
    trustCoefficient: TRUST_COEFFICIENT,
    precision: precisionOf(config),
    device: config.device,
    seed: config.seed,
    threads: threadsOf(config),
  }
}
