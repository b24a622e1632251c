/** Programs in processes of their own: what ends a process, or must not, is seen from outside. */

import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The repository. */
export const ROOT: string = fileURLToPath(new URL('..', import.meta.url))

/** Imports of every program: the public interface and the tests' tiny runs. */
const IMPORTS = `
import { train } from './ts/index.js'
import { samples } from './__test__/fixtures-pictures.js'
import { tiny } from './__test__/fixtures-runs.js'
const [out] = process.argv.slice(1)
`

/** How a process ended, and what it wrote. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A process under way. */
export interface Child {
  readonly process: ChildProcess
  readonly ended: Promise<Ended>
}

/** A program as `node`'s words; `out` is its run directory. */
export function wordsOf(program: string, out: string): string[] {
  const flags = ['--import=@oxc-node/core/register', '--input-type=module']
  return [...flags, '--eval', IMPORTS + program, out]
}

/** Starts a program. */
export function start(program: string, out: string): Child {
  return watched(spawn(process.execPath, wordsOf(program, out), { cwd: ROOT }))
}

/** Runs a program to its end. */
export function run(program: string, out: string): Promise<Ended> {
  return start(program, out).ended
}

/** Runs a program that may write no file beyond `kibibytes`, as on a full disk. */
export function runWithLimit(program: string, out: string, kibibytes: number): Promise<Ended> {
  const script = `ulimit -f ${kibibytes} && exec "$0" "$@"`
  const words = ['-c', script, process.execPath, ...wordsOf(program, out)]
  return watched(spawn('bash', words, { cwd: ROOT })).ended
}

/** Watches a process to its end. */
export function watched(child: ChildProcess): Child {
  let [stdout, stderr] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { process: child, ended }
}
