/** Ranks in processes of their own, for tests. */

import { spawn } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../ts/distributed/free-port.js'
import { type Child, type Ended, watched, wordsOf } from './fixtures-child.js'
import { partsOf } from './fixtures-runs.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CLI = fileURLToPath(new URL('../ts/cli.ts', import.meta.url))

/** The variable by which a test knows its own ranks among others. */
const MARK = 'NNCLR_TEST_RUN'

/** What marks the ranks of the run that works in `out`. */
export function marked(out: string): Record<string, string> {
  return { [MARK]: out }
}

/** The program `nnclr` with these words. */
export function program(words: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
  const child = spawn(process.execPath, ['--import=@oxc-node/core/register', CLI, ...words], {
    cwd: ROOT,
    env: { ...process.env, ...env },
  })
  return watched(child)
}

/** `nnclr launch` with these words. */
export function launched(words: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
  return program(['launch', ...words], env)
}

/** Resolves as soon as a process has written what is looked for; rejects when it ends before. */
export function printed(child: Child, wanted: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.process.stdout?.on('data', (more: string) => {
      text += more
      const found = wanted.exec(text)
      if (found !== null) resolve(found)
    })
    void child.ended.then(({ stderr }) => {
      reject(new Error(`ended without ${wanted}: ${text}${stderr}`))
    })
  })
}

/** The variables of a rank that no launcher started. */
export function rankVariables(
  rank: number,
  worldSize: number,
  port: number,
  address: string = '127.0.0.1',
): NodeJS.ProcessEnv {
  return {
    RANK: String(rank),
    WORLD_SIZE: String(worldSize),
    LOCAL_RANK: String(rank),
    LOCAL_WORLD_SIZE: String(worldSize),
    MASTER_ADDR: address,
    MASTER_PORT: String(port),
  }
}

/** A program as one rank; see `start` for what it has. */
export function startRank(program: string, out: string, variables: NodeJS.ProcessEnv): Child {
  const env = { ...process.env, ...marked(out), ...variables }
  return watched(spawn(process.execPath, wordsOf(program, out), { cwd: ROOT, env }))
}

/** A program on each of several ranks, to the end of all. */
export async function onRanks(program: string, out: string, worldSize: number): Promise<Ended[]> {
  const port = await freePort('127.0.0.1')
  const ranks = Array.from({ length: worldSize }, (_, rank) =>
    startRank(program, out, rankVariables(rank, worldSize, port)),
  )
  return Promise.all(ranks.map(({ ended }) => ended))
}

/** The processes of the ranks that work on `out`, by rank; Linux only. */
export async function ranksOf(out: string): Promise<Map<number, number>> {
  const found = new Map<number, number>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const text = await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '')
    const variables = new Set(text.split('\0'))
    if (!variables.has(`${MARK}=${out}`)) continue
    const rank = /(?:^|\0)RANK=(\d+)/.exec(text)?.[1]
    if (rank !== undefined) found.set(Number(rank), Number(name))
  }
  return found
}

/** The process of one rank that works on `out`. */
export async function rankOf(out: string, rank: number): Promise<number> {
  const pid = (await ranksOf(out)).get(rank)
  if (pid === undefined) throw new Error(`rank ${rank} has no process`)
  return pid
}

/** Whether no rank that works on `out` is left within `limit` ms. */
export async function isQuiet(out: string, limit: number = 0): Promise<boolean> {
  for (const began = Date.now(); ; await sleep(50)) {
    if ((await ranksOf(out)).size === 0) return true
    if (Date.now() - began > limit) return false
  }
}

/** Smaller tensors are measured against this: a bias that began at 0 is all rounding and first steps. */
const LEAST_SIZE = 1e-2

/**
 * The largest difference of two checkpoints, relative to each tensor's largest value, by tensor: model
 * and bank. The momentum is left out, in which a small network's rounding grows tenfold with each step.
 */
export async function distances(first: string, second: string): Promise<Map<string, number>> {
  const [a, b] = [(await partsOf(first)).tensors, (await partsOf(second)).tensors]
  const far = new Map<string, number>()
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    if (name.startsWith('optimizer/')) continue
    const [x, y] = [numbersOf(a.get(name)), numbersOf(b.get(name))]
    const size = x.reduce((most, value) => Math.max(most, Math.abs(value)), LEAST_SIZE)
    const apart = x.reduce((most, value, i) => {
      const gap = Math.abs(value - (y[i] ?? Number.NaN))
      // What is no number is as far as can be.
      return gap <= most ? most : Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap
    }, 0)
    far.set(name, x.length === y.length ? apart / size : Number.POSITIVE_INFINITY)
  }
  return far
}

function numbersOf(tensor: { dtype: string; bytes: Buffer } | undefined): number[] {
  if (tensor === undefined) return []
  // A copy: the parts of a file are not aligned.
  const { buffer } = Uint8Array.from(tensor.bytes)
  if (tensor.dtype === 'F32') return [...new Float32Array(buffer)]
  if (tensor.dtype === 'F64') return [...new Float64Array(buffer)]
  if (tensor.dtype === 'I64') return [...new BigInt64Array(buffer)].map(Number)
  return [...new Uint8Array(buffer)]
}
