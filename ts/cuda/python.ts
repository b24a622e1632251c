/** The user's Python with pip: it knows the index, proxy and certificates that work here. */

import { spawn } from 'node:child_process'
import { NnclrError } from '../errors.js'

/** How a Python run ended. */
export interface PythonEnd {
  readonly code: number
  /** Both outputs, the last 100,000 characters. */
  readonly output: string
}

/** Runs Python; tests put another in. */
export type RunPython = (
  python: string,
  args: readonly string[],
  env?: Readonly<Record<string, string>>,
) => Promise<PythonEnd>

const KEPT_CHARACTERS = 100_000
const NAMES = process.platform === 'win32' ? ['python', 'python3'] : ['python3', 'python']
/** pip resumes a broken download from this version on. */
const RESUMING_PIP = [25, 1] as const

/** Runs a Python to its end; code 127 when there is none of this name. */
export const runPython: RunPython = (python, args, env = {}) =>
  new Promise((resolve) => {
    const child = spawn(python, [...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const stop = (): void => void child.kill()
    process.once('exit', stop)
    let output = ''
    const keep = (text: string): void => {
      output = (output + text).slice(-KEPT_CHARACTERS)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    const end = (code: number): void => {
      process.removeListener('exit', stop)
      resolve({ code, output })
    }
    child.on('error', (error) => {
      keep(error.message)
      end(127)
    })
    child.on('close', (code) => end(code ?? 1))
  })

/** A Python 3 that has pip. */
export interface PipPython {
  readonly python: string
  /** Flags that make pip take up a broken download where it broke off, where it can. */
  readonly resumeFlags: readonly string[]
}

/** Finds Python 3 with pip. @throws NnclrError IO with the remedy */
export async function findPip(run: RunPython = runPython): Promise<PipPython> {
  for (const python of NAMES) {
    const { code, output } = await run(python, ['--version'])
    if (code !== 0 || !output.startsWith('Python 3')) continue
    const pip = await run(python, ['-m', 'pip', '--version'])
    const [, major, minor] = /^pip (\d+)\.(\d+)/m.exec(pip.output) ?? []
    if (pip.code !== 0 || major === undefined) {
      const remedy = `apt install python3-pip, or ${python} -m ensurepip`
      throw new NnclrError('IO', 'pip', `pip is missing for ${python}: install it (${remedy})`)
    }
    const version = [Number(major), Number(minor)] as const
    const resumes =
      version[0] > RESUMING_PIP[0] ||
      (version[0] === RESUMING_PIP[0] && version[1] >= RESUMING_PIP[1])
    return { python, resumeFlags: resumes ? ['--resume-retries', '10'] : [] }
  }
  const remedy =
    'install Python 3 with pip, or choose the torch of another Python by `nnclr cuda use`'
  throw new NnclrError('IO', 'python', `Python 3 is missing, which fetches the wheels: ${remedy}`)
}

/** The line of pip's output that says what went wrong. */
export function pipReason(output: string): string {
  const lines = output.trim().split('\n')
  const error = lines.findLast((line) => line.startsWith('ERROR')) ?? lines.at(-1) ?? ''
  return error.replace(/^ERROR:\s*/, '').slice(0, 300)
}
