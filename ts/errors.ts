/**
 * The one error class. Codes are the same words as in the crate's `error.rs`, and those that only
 * this side knows: `LOAD` and `PROCESS`. A caller switches on `code`, reads `subject` to know what it
 * is about, and finds the original in `cause`.
 */

/** What kind of thing went wrong; stable across releases. */
export type ErrorCode =
  | 'CONFIG'
  | 'IO'
  | 'DECODE'
  | 'SHAPE'
  | 'DEVICE'
  | 'CHECKPOINT'
  | 'TORCH'
  | 'DISTRIBUTED'
  | 'DISPOSED'
  | 'DIVERGED'
  | 'LOAD'
  | 'PROCESS'
  | 'PANIC'

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'CONFIG',
  'IO',
  'DECODE',
  'SHAPE',
  'DEVICE',
  'CHECKPOINT',
  'TORCH',
  'DISTRIBUTED',
  'DISPOSED',
  'DIVERGED',
  'LOAD',
  'PROCESS',
  'PANIC',
])

/** One problem of a configuration. */
export interface ConfigIssue {
  /** The field's path as the caller wrote it, for example `transform.cropScale`. */
  readonly field: string
  /** What was given, shortened for display. */
  readonly value: string
  /** The allowed range or kinds. */
  readonly expected: string
  /** A remedy, for example the nearest valid key. */
  readonly hint?: string
}

/** How the child process of an isolated call ended, for code `PROCESS`. */
export interface EndedChild {
  /** Its number, null when it could not begin. */
  readonly pid: number | null
  /** Its exit code, null when a signal ended it. */
  readonly exitCode: number | null
  /** The signal that ended it, for example `SIGKILL`; null when none did, and always in Electron. */
  readonly signal: string | null
  /** The newest checkpoint of the training, null when there is none. */
  readonly checkpoint: string | null
  /** Its last lines on stderr. */
  readonly output: string
}

/** What an `NnclrError` may carry besides code, subject and message. */
export interface NnclrErrorOptions {
  /** The error this one was made from. */
  readonly cause?: unknown
  /** The single problems, for code `CONFIG`. */
  readonly issues?: readonly ConfigIssue[]
  /** How the child process ended, for code `PROCESS`. */
  readonly process?: EndedChild
}

/** Every error that nnclr throws or rejects with, aborts excepted. */
export class NnclrError extends Error {
  /** What kind of thing went wrong. */
  readonly code: ErrorCode
  /** What it is about: a field, a path, an operation. */
  readonly subject: string
  /** The single problems, when `code` is `CONFIG`; empty otherwise. */
  readonly issues: readonly ConfigIssue[]
  /** How the child process ended, when `code` is `PROCESS`; null otherwise. */
  readonly process: EndedChild | null

  /** Makes an error; `NnclrError.config`, `.io` and `.from` are the usual ways. */
  constructor(code: ErrorCode, subject: string, message: string, options: NnclrErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'NnclrError'
    this.code = code
    this.subject = subject
    this.issues = options.issues ?? []
    this.process = options.process ?? null
  }

  /** All problems of a configuration as one error, one line each. */
  static config(issues: readonly ConfigIssue[]): NnclrError {
    const heading =
      issues.length === 1
        ? 'the configuration has a problem:'
        : `the configuration has ${issues.length} problems:`
    const lines = issues.map(({ field, value, expected, hint }) => {
      const remedy = hint === undefined ? '' : ` (${hint})`
      return `  ${field}: got ${value}, expected ${expected}${remedy}`
    })
    const subject = issues.map((issue) => issue.field).join(', ')
    return new NnclrError('CONFIG', subject, [heading, ...lines].join('\n'), { issues })
  }

  /** A failed file operation: `cannot read /a/b: permission denied`. */
  static io(action: string, path: string, cause: unknown): NnclrError {
    return new NnclrError('IO', path, `cannot ${action} ${path}: ${systemReason(cause)}`, { cause })
  }

  /**
   * Whatever was thrown, as an error of ours. An `NnclrError` stays itself, and so does an abort:
   * who called `abort()` waits for an `AbortError`. The native side's errors arrive as JSON in the
   * message. A system error becomes `IO`; what is left is a bug, ours or a callback's, and becomes
   * `PANIC`.
   */
  static from(thrown: unknown, subject = ''): Error {
    if (thrown instanceof NnclrError) return thrown
    if (isAbort(thrown)) return thrown
    if (!(thrown instanceof Error)) {
      return new NnclrError('PANIC', subject, `internal error: ${String(thrown)}`, {
        cause: thrown,
      })
    }
    return fromNative(thrown) ?? fromSystem(thrown, subject) ?? fromUnknown(thrown, subject)
  }
}

/** Whether this is the error of an aborted signal, which callers see unchanged. */
export function isAbort(thrown: unknown): thrown is Error {
  return thrown instanceof Error && (thrown.name === 'AbortError' || thrown.name === 'TimeoutError')
}

/** Whether this is a system error, optionally one of the given codes (`ENOENT` ...). */
export function isSystemError(
  thrown: unknown,
  ...codes: string[]
): thrown is NodeJS.ErrnoException {
  if (!(thrown instanceof Error) || !('syscall' in thrown)) return false
  const { code } = thrown as NodeJS.ErrnoException
  return typeof code === 'string' && (codes.length === 0 || codes.includes(code))
}

function fromNative(thrown: Error): NnclrError | null {
  if (!thrown.message.startsWith('{')) return null
  try {
    const { code, subject, message } = JSON.parse(thrown.message) as Record<string, unknown>
    if (typeof code !== 'string' || !CODES.has(code) || typeof message !== 'string') return null
    const about = typeof subject === 'string' ? subject : ''
    return new NnclrError(code as ErrorCode, about, message, { cause: thrown })
  } catch {
    // Not JSON after all: the caller goes on with the next kind.
    return null
  }
}

function fromSystem(thrown: Error, subject: string): NnclrError | null {
  if (!isSystemError(thrown)) return null
  return NnclrError.io(thrown.syscall ?? 'use', thrown.path ?? subject, thrown)
}

function fromUnknown(thrown: Error, subject: string): NnclrError {
  return new NnclrError('PANIC', subject, `internal error: ${thrown.message}`, { cause: thrown })
}

/** The words for the system errors people meet; the system's own message for the others. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOSPC: 'no space left on the disk',
  EDQUOT: 'disk quota exceeded',
  EROFS: 'the file system is read-only',
  EEXIST: 'a file of that name is in the way',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'it is a folder',
  EMFILE: 'too many open files',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
}

function systemReason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const { code } = cause as NodeJS.ErrnoException
  const words = code === undefined ? undefined : REASONS[code]
  return words === undefined ? cause.message : `${words} (${code})`
}
