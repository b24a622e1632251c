/** Programs that run on several ranks, each in a process of its own. */

import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

const IMPORTS = `
import * as nnclr from './ts/index.js'
import * as fixtures from './__test__/fixtures-group-loop.js'
const { initProcessGroup, getProcessGroup, destroyProcessGroup, Tensor } = nnclr
const [out] = process.argv.slice(1)
const told = {}
process.on('exit', () => console.log(JSON.stringify(told)))
/** The error that work ends with, as code and message. */
const failure = async (work) => {
  const started = performance.now()
  try { await work() } catch ({ code, message }) {
    return { code, message, seconds: (performance.now() - started) / 1000 }
  }
  return null
}
`

/** How a rank's process ended, and what its program put into `told`. */
export interface Rank<T> {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
  readonly told: T
}

/** What the ranks told; every one of them ended by itself, with code 0 and without a word. */
export function quiet<T>(t: ExecutionContext, all: readonly Rank<T>[]): T[] {
  for (const { code, signal, stderr } of all) {
    t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  }
  return all.map(({ told }) => told)
}

/** What the program's `failure` gives. */
export interface Failure {
  readonly code: string
  readonly message: string
  readonly seconds: number
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/** Runs a program on `worldSize` ranks, with torchrun's variables. Only `started` of them begin. */
export async function ranks<T>(
  program: string,
  worldSize: number,
  { out = '', started = worldSize }: { out?: string; started?: number } = {},
): Promise<Rank<T>[]> {
  const port = await freePort()
  const flags = ['--import=@oxc-node/core/register', '--input-type=module']
  const one = (rank: number): Promise<Rank<T>> => {
    const env = {
      ...process.env,
      RANK: `${rank}`,
      WORLD_SIZE: `${worldSize}`,
      LOCAL_RANK: `${rank}`,
      LOCAL_WORLD_SIZE: `${worldSize}`,
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: `${port}`,
      OMP_NUM_THREADS: '1',
    }
    const words = [...flags, '--eval', IMPORTS + program, out]
    const child = spawn(process.execPath, words, { cwd: ROOT, env })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, signal) => {
        const line = stdout.trim().split('\n').at(-1) || '{}'
        resolve({ code, signal, stderr, told: JSON.parse(line) as T })
      })
    })
  }
  return Promise.all(Array.from({ length: started }, (_, rank) => one(rank)))
}
