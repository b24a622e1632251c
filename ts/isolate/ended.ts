/** The error of a child process that ended without an answer. */

import { NnclrError } from '../errors.js'
import type { ProcessExit } from './transport.js'

const MIB = 1024 * 1024
/** Windows tells a crash by codes from here on, which are known by their hexadecimal form. */
const WINDOWS_CRASH = 0x8000_0000

/** What is known about it. */
export interface EndedProcess {
  /** What it was, for people: `child process`. */
  readonly title: string
  readonly exit: ProcessExit
  readonly pid: number | null
  /** Finished steps. */
  readonly step: number
  /** Resident bytes with which it went over its limit, null when it did not. */
  readonly used: number | null
  /** The limit in bytes. */
  readonly limit: number | null
  readonly checkpoint: string | null
  /** Its last lines on stderr. */
  readonly output: string
}

/** What a signal mostly means. */
const MEANINGS: Readonly<Record<string, string>> = {
  SIGKILL: 'killed from outside; mostly the system does that when memory runs out',
  SIGABRT: 'it aborted',
  SIGSEGV: 'it crashed',
  SIGBUS: 'it crashed',
  SIGILL: 'the processor lacks an instruction that was used',
}

/** The `PROCESS` error. */
export function processError(ended: EndedProcess): NnclrError {
  const { exit, title, pid, checkpoint, step, output } = ended
  const { code: exitCode, signal } = exit
  const after = step > 0 ? ` after step ${step}` : ''
  const kept = checkpoint === null ? '' : `; last checkpoint: ${checkpoint}`
  const words = output === '' ? '' : `\nits last words:\n${output}`
  const message = `the ${title} ${reasonOf(ended)}${after}${kept}${words}`
  const subject = pid === null ? title : `process ${pid}`
  return new NnclrError('PROCESS', subject, message, {
    process: { pid, exitCode, signal, checkpoint, output },
    ...(exit.failure === undefined ? {} : { cause: exit.failure }),
  })
}

function reasonOf({ exit: { code, signal, failure }, used, limit }: EndedProcess): string {
  if (failure instanceof Error) return `could not begin: ${failure.message}`
  if (used !== null) {
    const [most, now] = [limit ?? 0, used].map((bytes) => Math.round(bytes / MIB))
    return `was ended: it used ${now} MiB, memoryLimitMB allows ${most}`
  }
  if (signal !== null) {
    const meaning = MEANINGS[signal]
    return `was ended by ${signal}${meaning === undefined ? '' : ` (${meaning})`}`
  }
  const number = code ?? 0
  return `ended with exit code ${number >= WINDOWS_CRASH ? `0x${number.toString(16)}` : number}`
}
