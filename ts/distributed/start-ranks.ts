/**
 * Trains on several ranks that this process starts: one child process each, rank 0's events, and one end
 * for all of them.
 */

import { randomUUID } from 'node:crypto'
import { resolveConfig, type TrainConfig } from '../config.js'
import { NnclrError } from '../errors.js'
import type { TrainEvent, TrainResult } from '../events.js'
import { callInChild } from '../isolate/host.js'
import { type IsolateOptions, trainCall } from '../isolate.js'
import { type Failure, firstCause } from './first-cause.js'
import { freePort } from './free-port.js'
import { gpusOfLauncher } from './visible-gpus.js'

/** Ranks that hear of another's failure end by themselves; after so many seconds they are ended. */
const PATIENCE_S = 10

/** Ranks finish together: after the first has its result, those that are not done in so many seconds are ended. */
const LAST_S = 15

/** Where the ranks of one machine meet. */
const LOOPBACK = '127.0.0.1'

/**
 * Starts `devices` ranks and gives rank 0's result. When the promise settles no process is left.
 *
 * @throws NnclrError the first cause: what a rank failed with, PROCESS for one that crashed, else
 * DISTRIBUTED; the reason of `kill`.
 */
export async function trainOnRanks(
  config: TrainConfig,
  options: IsolateOptions,
  emit: (event: TrainEvent) => void,
): Promise<TrainResult> {
  options.kill?.throwIfAborted()
  const { devices, distributed } = resolveConfig(config)
  const worldSize = devices as number
  let step = 0
  const { call, resultOf } = await trainCall(config, (event) => {
    if ('step' in event) step = event.step
    emit(event)
  })
  const meeting = { port: await freePort(LOOPBACK), job: randomUUID() }
  const gpus = gpusOfLauncher({ ...process.env, ...options.env })
  const patience = 1000 * Math.min(PATIENCE_S, distributed.timeoutSeconds)
  const ending = new AbortController()
  const failures: Failure[] = []
  let timer: NodeJS.Timeout | undefined
  const endAfter = (ms: number): void => {
    timer ??= setTimeout(() => ending.abort(), ms)
  }
  const kills = [ending.signal, ...(options.kill === undefined ? [] : [options.kill])]
  const runRank = async (rank: number): Promise<unknown> => {
    const env = { ...options.env, ...gpus, ...rankVariables(rank, worldSize, meeting) }
    const own = {
      ...call,
      // Rank 0 speaks for all; the others' children send no events.
      ...(rank === 0 ? {} : { finishedSteps: () => step }),
      title: `process of rank ${rank}`,
    }
    try {
      const answer = await callInChild(own, { ...options, env, kill: AbortSignal.any(kills) })
      endAfter(1000 * LAST_S)
      return answer
    } catch (error) {
      if (!ending.signal.aborted) failures.push({ rank, error })
      endAfter(patience)
      return null
    }
  }
  const answers = await Promise.all(Array.from({ length: worldSize }, (_, rank) => runRank(rank)))
  clearTimeout(timer)
  options.kill?.throwIfAborted()
  if (failures.length > 0) throw firstCause(failures)
  const [answer] = answers
  if (answer !== null) return resultOf(answer)
  const message = `rank 0 was not done ${LAST_S} s after another rank had its result`
  throw new NnclrError('DISTRIBUTED', 'rank 0', message)
}

/** What tells a child its rank: torchrun's variables, and none that another launcher left. */
function rankVariables(
  rank: number,
  worldSize: number,
  { port, job }: { readonly port: number; readonly job: string },
): Record<string, string | undefined> {
  return {
    RANK: String(rank),
    WORLD_SIZE: String(worldSize),
    LOCAL_RANK: String(rank),
    LOCAL_WORLD_SIZE: String(worldSize),
    MASTER_ADDR: LOOPBACK,
    MASTER_PORT: String(port),
    TORCHELASTIC_RUN_ID: job,
    TORCHELASTIC_RESTART_COUNT: '0',
    TORCHELASTIC_USE_AGENT_STORE: undefined,
  }
}
