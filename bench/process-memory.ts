/**
 * Memory of a process group, from Linux's /proc. The proportional set size counts a page that
 * several processes share once in all, where resident sizes would count it in each.
 */

import { readdir, readFile } from 'node:fs/promises'

/** Peaks shorter than this are missed, for both sides alike. */
const SAMPLE_MS = 200

/** The process group in the text of /proc/PID/stat; the name before it may hold anything. */
export function groupIn(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])
}

/** Bytes in the text of /proc/PID/smaps_rollup; 0 without the line. */
export function pssIn(rollup: string): number {
  return 1024 * Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0)
}

/** Watches a process group until stopped. */
export class MemoryWatch {
  #peak = 0
  #isOver = false
  readonly #watching: Promise<void>

  /** `group` is the id of its first process. */
  constructor(group: number) {
    this.#watching = this.#watch(group)
  }

  /** The largest sum of proportional set sizes seen, bytes. */
  async stop(): Promise<number> {
    this.#isOver = true
    await this.#watching
    return this.#peak
  }

  async #watch(group: number): Promise<void> {
    while (!this.#isOver) {
      this.#peak = Math.max(this.#peak, await pssOfGroup(group))
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
    }
  }
}

async function pssOfGroup(group: number): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const sizes = await Promise.all(
    pids.map(async (pid) => {
      try {
        if (groupIn(await readFile(`/proc/${pid}/stat`, 'utf8')) !== group) return 0
        return pssIn(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'))
      } catch {
        // It ended meanwhile.
        return 0
      }
    }),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
