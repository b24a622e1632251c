/**
 * Errors across the channel: cloning an error keeps neither its class nor its fields. Code, subject,
 * issues and causes arrive as they were, the child's stack too.
 */

import { type ConfigIssue, type ErrorCode, isAbort, isSystemError, NnclrError } from '../errors.js'

/** Causes of causes that are kept. */
const DEEPEST = 8

/** An error in plain fields. */
export interface ErrorRecord {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  /** Of an `NnclrError`. */
  readonly nnclr?: {
    readonly code: ErrorCode
    readonly subject: string
    readonly issues: readonly ConfigIssue[]
  }
  /** Of a system error. */
  readonly system?: Readonly<Record<string, string | number>>
  /** Whether it is that of an aborted signal. */
  readonly isAbort: boolean
  /** Its cause; what is no error is told in words. */
  readonly cause?: ErrorRecord | string
}

/** An error in plain fields. */
export function recordOf(thrown: unknown, depth = 0): ErrorRecord {
  const error = thrown instanceof Error ? thrown : NnclrError.from(thrown)
  const { name, message, stack, cause } = error
  const record: ErrorRecord = { name, message, stack, isAbort: isAbort(error) }
  return {
    ...record,
    ...(error instanceof NnclrError
      ? { nnclr: { code: error.code, subject: error.subject, issues: error.issues } }
      : {}),
    ...(isSystemError(error) ? { system: systemFields(error) } : {}),
    ...(cause === undefined || depth >= DEEPEST
      ? {}
      : { cause: cause instanceof Error ? recordOf(cause, depth + 1) : String(cause) }),
  }
}

/** The error of a record. */
export function errorOf({ name, message, stack, nnclr, system, cause }: ErrorRecord): Error {
  const inner = typeof cause === 'object' ? errorOf(cause) : cause
  const options = inner === undefined ? undefined : { cause: inner }
  const error =
    nnclr === undefined
      ? Object.assign(new Error(message, options), system)
      : new NnclrError(nnclr.code, nnclr.subject, message, { ...options, issues: nnclr.issues })
  if (error.name !== name) {
    // Not enumerable, as in every other error.
    Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true })
  }
  if (stack !== undefined) error.stack = stack
  return error
}

function systemFields(error: NodeJS.ErrnoException): Record<string, string | number> {
  const { code, errno, syscall, path } = error
  const fields = Object.entries({ code, errno, syscall, path })
  return Object.fromEntries(
    fields.filter((field): field is [string, string | number] => field[1] !== undefined),
  )
}
