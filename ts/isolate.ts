/**
 * `train`, `embed` and `knn` in a child process: same settings, same events, same results, same
 * errors. The work and its memory are the child's; this process loads neither the addon nor libtorch.
 */

import { checkSignal } from './config/signal.js'
import { resolveConfig, type TrainConfig } from './config.js'
import { groupsSoFar } from './distributed/group-name.js'
import type { Embedded, EmbedOptions, KnnOptions, KnnResult } from './embed.js'
import { isAbort, NnclrError } from './errors.js'
import type { TrainEvent, TrainResult } from './events.js'
import { type DataRecord, recordOfData } from './isolate/data-record.js'
import { type Call, callInChild } from './isolate/host.js'
import type { IsolateOptions } from './isolate/options.js'
import type { Transport } from './isolate/transport.js'
import { listCheckpoints } from './run-directory/checkpoint-files.js'

export { type IsolateOptions, isolation, type RunOptions } from './isolate/options.js'

/** The settings that are pictures. */
const PICTURES = ['data', 'validation'] as const

/** Trains in a child process. `emit` gets the events. */
export async function trainInChild(
  config: TrainConfig,
  options: IsolateOptions,
  emit: (event: TrainEvent) => void,
  transport?: Transport,
): Promise<TrainResult> {
  const { call, resultOf } = await trainCall(config, emit)
  // The child joins the ranks of a launcher in this process's place.
  const env = { ...groupsSoFar(process.env), ...options.env }
  return resultOf(await callInChild(call, { ...options, env }, transport))
}

/** A training as a child process gets it, and its result from the child's answer. */
export async function trainCall(
  config: TrainConfig,
  emit: (event: TrainEvent) => void,
): Promise<{ call: Call; resultOf: (answer: unknown) => TrainResult }> {
  // Before a process is made for it; the child, which may resume a run, resolves it anew.
  const resolved = resolveConfig(config)
  let isBegun = resolved.resume
  let result: TrainResult | null = null
  const onEvent = (event: TrainEvent): void => {
    if (event.type === 'start') isBegun = true
    if (event.type === 'end') result = event.result
    emit(event.type === 'start' ? withOwnObjects(event, resolved) : event)
  }
  // Before the start the directory may hold checkpoints of another run.
  const lastCheckpoint = async (): Promise<string | null> => {
    if (!isBegun) return null
    return (await listCheckpoints(resolved.out).catch(() => []))[0]?.path ?? null
  }
  const call = { job: 'train', ...(await parted(config)), onEvent, lastCheckpoint } as const
  return { call, resultOf: (answer) => result ?? (answer as TrainResult) }
}

/** Embeds in a child process. */
export async function embedInChild(
  options: EmbedOptions,
  isolate: IsolateOptions,
): Promise<Embedded> {
  return (await withoutEvents('embed', options, isolate)) as Embedded
}

/** Scores in a child process. */
export async function knnInChild(options: KnnOptions, isolate: IsolateOptions): Promise<KnnResult> {
  return (await withoutEvents('knn', options, isolate)) as KnnResult
}

async function withoutEvents(
  job: 'embed' | 'knn',
  options: EmbedOptions,
  isolate: IsolateOptions,
): Promise<unknown> {
  try {
    const call = { job, ...(await parted(options)), lastCheckpoint: async () => null }
    return await callInChild(call, isolate)
  } catch (error) {
    throw isAbort(error) ? error : NnclrError.from(error)
  }
}

/**
 * Settings apart from pictures and signal, which each go their own way.
 *
 * @throws NnclrError CONFIG for a signal that is none: the child, which checks the settings, never
 * sees it; what opening pictures throws.
 */
async function parted(
  given: TrainConfig | EmbedOptions,
): Promise<Pick<Call, 'settings' | 'pictures' | 'signal'>> {
  const pictures: Record<string, DataRecord> = {}
  const { signal = null, ...rest } = given
  checkSignal(signal)
  const settings: Record<string, unknown> = rest
  for (const field of PICTURES) {
    const data = settings[field]
    delete settings[field]
    if (data !== undefined) pictures[field] = await recordOfData(data as TrainConfig['data'])
  }
  return { settings, pictures, signal }
}

/** The caller's own objects in place of what the child has for them. */
function withOwnObjects<E extends Extract<TrainEvent, { type: 'start' }>>(
  event: E,
  { data, validation, signal }: Pick<TrainConfig, 'data' | 'validation' | 'signal'>,
): E {
  const own = typeof validation === 'object' ? { validation } : {}
  return { ...event, config: { ...event.config, data, signal, ...own } }
}
