/** Runs one program of a side in a process of its own and reads the numbers it prints. */

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Side } from './measure.js'
import { MemoryWatch } from './process-memory.js'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Compiles the TypeScript of a program as it is imported. */
const HOOK = import.meta.resolve('@oxc-node/core/register')
/** What is kept of a program's complaints. */
const KEPT_CHARACTERS = 4000
/** A program that takes longer hangs. */
const LIMIT_MS = 3_600_000

/** Numbers of one run, by name. */
export type Numbers = Readonly<Record<string, number>>

/** What every side of a benchmark shares. */
export interface Machine {
  /** The reference's interpreter. */
  readonly python: string
  readonly threads: number
}

/** @throws Error with the program's last words when it fails or prints no numbers. */
export async function runSide(side: Side, machine: Machine): Promise<Numbers> {
  if ((side.isOneCore === true || side.watchMemory === true) && process.platform !== 'linux') {
    throw new Error('binding to a core and summing memory over processes need Linux')
  }
  const [command, ...words] = commandOf(side, machine)
  const child = spawn(command as string, words, {
    cwd: ROOT,
    env: environmentOf(side, machine.threads),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: its workers are watched, and ended, with it.
    detached: true,
    timeout: LIMIT_MS,
  })
  const watch = side.watchMemory === true && child.pid ? new MemoryWatch(child.pid) : null
  try {
    const { code, stdout, stderr } = await ended(child)
    const peak = await watch?.stop()
    if (code !== 0) throw new Error(`${side.program} ended with ${code}: ${stderr.trim()}`)
    return { ...numbersIn(stdout, side.program), ...(peak === undefined ? {} : { peakPss: peak }) }
  } finally {
    await watch?.stop()
  }
}

/** The command line of a side. */
export function commandOf(side: Side, { python }: Pick<Machine, 'python'>): string[] {
  const binding = side.isOneCore === true ? ['taskset', '-c', '0'] : []
  const runner = side.program.endsWith('.py')
    ? [python]
    : side.program.endsWith('.ts')
      ? [process.execPath, `--import=${HOOK}`]
      : [process.execPath]
  return [...binding, ...runner, join(HERE, side.program), JSON.stringify(side.settings)]
}

/** OpenMP's threads are those of both programs' libtorch, and of MKL's in the reference. */
function environmentOf(side: Side, threads: number): NodeJS.ProcessEnv {
  const count = String(side.isOneCore === true ? 1 : threads)
  return {
    ...process.env,
    OMP_NUM_THREADS: count,
    MKL_NUM_THREADS: count,
    PYTHONWARNINGS: 'ignore',
  }
}

/** The object in the last line. @throws Error when there is none, or something in it is no number. */
export function numbersIn(stdout: string, program: string): Numbers {
  const line = stdout.trim().split('\n').at(-1) ?? ''
  try {
    const numbers = JSON.parse(line) as Record<string, unknown>
    if (Object.values(numbers).every((value) => value === null || Number.isFinite(value))) {
      return numbers as Numbers
    }
  } catch {
    // Said below.
  }
  throw new Error(`${program} printed no numbers but '${line.slice(0, 200)}'`)
}

interface Ended {
  readonly code: number | NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

function ended(child: ChildProcess): Promise<Ended> {
  const stop = (): void => endGroup(child)
  // Before the run's folder goes.
  process.prependOnceListener('exit', stop)
  let [stdout, stderr] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-KEPT_CHARACTERS)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      process.removeListener('exit', stop)
      resolve({ code: code ?? signal, stdout, stderr })
    })
  })
}

function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid)
  } catch {
    // It ended by itself.
  }
}
