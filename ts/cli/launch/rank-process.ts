/** One rank's process: a script under Node, in a group of its own so that a signal reaches it once. */

import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { fittingFlags } from '../../isolate/node-transport.js'
import type { Terminal } from '../terminal.js'
import { LAUNCHER } from './launcher-variable.js'

/** How a rank ended. */
export interface RankExit {
  readonly rank: number
  /** As a shell tells it: 128 and the signal's number for one that a signal ended. */
  readonly code: number
  /** In words, for people. */
  readonly words: string
}

/** What a rank's process is started with. */
export interface RankProgram {
  readonly rank: number
  readonly script: string
  readonly words: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** Put in front of each line that it writes; null to share this process's streams. */
  readonly prefix: string | null
}

/** What a rank leaves behind, its own child processes with its streams, is ended after so many ms. */
const LINGER_MS = 5000

/** A rank's process under way. */
export class RankProcess {
  /** How it ended, as soon as it did. */
  readonly ended: Promise<RankExit>
  /** Afterwards: its last line has come, and nothing that it started holds its streams any more. */
  readonly closed: Promise<void>
  readonly #child: ChildProcess

  constructor({ rank, script, words, env, prefix }: RankProgram, terminal: Terminal) {
    const stream = prefix === null ? 'inherit' : 'pipe'
    this.#child = spawn(process.execPath, [...nodeFlags(), script, ...words], {
      env: { ...env, [LAUNCHER]: String(process.pid) },
      stdio: ['ignore', stream, stream],
      detached: process.platform !== 'win32',
    })
    const { stdout, stderr } = this.#child
    if (stdout !== null) tellLines(stdout, `${prefix}`, (line) => terminal.out(line))
    if (stderr !== null) tellLines(stderr, `${prefix}`, (line) => terminal.err(line))
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        resolve({ rank, code: 1, words: `could not begin: ${error.message}` })
      })
      this.#child.once('exit', (code, signal) => resolve({ rank, ...exitOf(code, signal) }))
    })
    this.closed = this.#close()
  }

  /** Sends a signal to the process and those it started, which may be there when it is gone itself. */
  signal(signal: NodeJS.Signals): void {
    const { pid, exitCode, signalCode } = this.#child
    if (pid === undefined) return
    const isGone = exitCode !== null || signalCode !== null
    // Windows has no groups, and may have given the number of a process that is gone to another.
    if (isGone && process.platform === 'win32') return
    try {
      process.kill(process.platform === 'win32' ? pid : -pid, signal)
    } catch {
      // All of them are gone.
    }
  }

  async #close(): Promise<void> {
    const whole = new Promise<void>((resolve) => this.#child.once('close', () => resolve()))
    await this.ended
    // A process that could not begin has nothing to close.
    if (this.#child.pid === undefined) return
    const timer = setTimeout(() => {
      this.signal('SIGKILL')
      // One that left the group, and is no more a part of the rank, may hold them for ever.
      this.#child.stdout?.destroy()
      this.#child.stderr?.destroy()
    }, LINGER_MS)
    await whole
    clearTimeout(timer)
  }
}

/** Flags of this Node that fit, so that a TypeScript script runs as this program does; and the tether. */
function nodeFlags(): string[] {
  const tether = fileURLToPath(new URL(`./tether${extname(import.meta.url)}`, import.meta.url))
  return [...fittingFlags(process.execArgv), `--import=${pathToFileURL(tether).href}`]
}

function exitOf(code: number | null, signal: NodeJS.Signals | null): Omit<RankExit, 'rank'> {
  if (signal === null) return { code: code ?? 1, words: `ended with exit code ${code ?? 1}` }
  return { code: 128 + constants.signals[signal], words: `was ended by ${signal}` }
}

function tellLines(
  stream: NodeJS.ReadableStream,
  prefix: string,
  tell: (line: string) => void,
): void {
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })
  lines.on('line', (line) => tell(`${prefix}${line}\n`))
}
