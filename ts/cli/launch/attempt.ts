/** One attempt to run a script on all ranks of this machine: to the end of all, or of the first failure. */

import { randomUUID } from 'node:crypto'
import { freePort } from '../../distributed/free-port.js'
import { gpusOfLauncher } from '../../distributed/visible-gpus.js'
import type { Terminal } from '../terminal.js'
import type { LaunchOptions } from './options.js'
import { type RankExit, RankProcess } from './rank-process.js'

/** After a failure the others are asked to end, and after so many ms ended. */
const GRACE_MS = 10_000

/** How the processes are asked to end. */
export interface Stop {
  readonly signal: AbortSignal
  /** What to send them, once it is aborted. */
  name(): NodeJS.Signals
}

/**
 * Runs all ranks; null when all ended well, else how the first that failed ended. When it resolves none
 * is left.
 */
export async function runAttempt(
  options: LaunchOptions,
  attempt: number,
  stop: Stop,
  terminal: Terminal,
): Promise<RankExit | null> {
  const { ranks, script, words } = options
  const meeting = await meetingOf(options)
  const processes = Array.from({ length: ranks }, (_, localRank) => {
    const variables = rankVariables(options, localRank, attempt, meeting)
    const rank = Number(variables['RANK'])
    const prefix = ranks === 1 ? null : `[${rank}] `
    const env = { ...process.env, ...gpusOfLauncher(process.env), ...variables }
    return new RankProcess({ rank, script, words, env, prefix }, terminal)
  })
  let timer: NodeJS.Timeout | undefined
  const send = (signal: NodeJS.Signals): void => {
    for (const one of processes) one.signal(signal)
  }
  let first: RankExit | null = null
  // Who stops the ranks may give them all the time they need: a second signal ends at once.
  const onStop = (): void => send(stop.name())
  stop.signal.addEventListener('abort', onStop)
  if (stop.signal.aborted) onStop()
  await Promise.all(
    processes.map(async ({ ended, closed }) => {
      const exit = await ended
      if (exit.code !== 0 && first === null) {
        first = exit
        if (!stop.signal.aborted) {
          send('SIGTERM')
          timer = setTimeout(() => send('SIGKILL'), GRACE_MS)
        }
      }
      await closed
    }),
  )
  stop.signal.removeEventListener('abort', onStop)
  clearTimeout(timer)
  return first
}

interface Meeting {
  readonly port: number
  readonly job: string
}

/** All machines must come to the same; on one machine each attempt has its own. */
async function meetingOf({ address, port, machines }: LaunchOptions): Promise<Meeting> {
  if (machines > 1) return { port: port ?? 0, job: `${address}:${port}` }
  return { port: port ?? (await freePort('127.0.0.1')), job: randomUUID() }
}

/** torchrun's variables. */
export function rankVariables(
  { ranks, machines, machine, address, restarts }: LaunchOptions,
  localRank: number,
  attempt: number,
  { port, job }: Meeting,
): Record<string, string | undefined> {
  return {
    RANK: String(machine * ranks + localRank),
    WORLD_SIZE: String(machines * ranks),
    LOCAL_RANK: String(localRank),
    LOCAL_WORLD_SIZE: String(ranks),
    GROUP_RANK: String(machine),
    MASTER_ADDR: address,
    MASTER_PORT: String(port),
    TORCHELASTIC_RUN_ID: job,
    TORCHELASTIC_RESTART_COUNT: String(attempt),
    TORCHELASTIC_MAX_RESTARTS: String(restarts),
    // Rank 0 holds the store: there is no agent that would.
    TORCHELASTIC_USE_AGENT_STORE: undefined,
  }
}
