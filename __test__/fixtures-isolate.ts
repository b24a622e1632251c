/** Isolated calls for tests: their events, and their child processes. */

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { getPriority } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { ExecutionContext } from 'ava'
import { NnclrError, type TrainEvent, type TrainRun } from '../ts/index.js'
import type { Told } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** Reads a run to its end; `onEvent` sees each event at once. */
export async function heard(
  run: TrainRun,
  onEvent: (event: TrainEvent) => unknown = () => {},
): Promise<Told> {
  const events: TrainEvent[] = []
  for await (const event of run) {
    events.push(event)
    await onEvent(event)
  }
  return { events, result: await run }
}

/** The process that works in a run directory. */
export async function workerOf(out: string): Promise<number> {
  const { pid } = JSON.parse(await readFile(join(out, 'nnclr.lock'), 'utf8')) as { pid: number }
  return pid
}

/**
 * The priorities of a process's main thread and, on Linux, where each thread has its own, of the one
 * that computes and the first that loads pictures.
 */
export async function prioritiesOf(pid: number): Promise<number[]> {
  const own = getPriority(pid)
  if (process.platform !== 'linux') return [own]
  const computing: number[] = []
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const name = await readFile(`/proc/${pid}/task/${thread}/comm`, 'utf8')
    if (/^nnclr-(engine|load-0)\n/.test(name)) computing.push(getPriority(Number(thread)))
  }
  return [own, ...computing]
}

/** Whether a process is there and is not just waiting to be collected. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    return !/\) Z /.test(stat)
  } catch {
    return false
  }
}

/** Milliseconds until a process is gone, at most `limit`. */
export async function goneAfter(pid: number, limit: number): Promise<number> {
  const began = Date.now()
  while ((await isAlive(pid)) && Date.now() - began < limit) await sleep(50)
  return Date.now() - began
}

/** The `NnclrError` that a promise rejects with. */
export async function failureOf(
  t: ExecutionContext,
  failing: Promise<unknown>,
): Promise<NnclrError> {
  return (await t.throwsAsync(failing, { instanceOf: NnclrError })) as NnclrError
}

/** Writes a module for `--import`; gives its URL. */
export async function writtenModule(t: ExecutionContext, code: string): Promise<string> {
  const path = join(await temporaryFolder(t), 'module.mjs')
  await writeFile(path, code)
  return pathToFileURL(path).href
}
