/** Which of several ranks' failures is the cause: the others only tell that they lost a rank. */

import { isAbort, NnclrError } from '../errors.js'

/** How a rank failed. */
export interface Failure {
  readonly rank: number
  readonly error: unknown
}

/**
 * The error of the whole run; `failures` in the order in which they came. A rank's own error comes before
 * a crash, since a rank that hears of it may crash for it, and both come before errors that only say that
 * another rank is missing.
 */
export function firstCause(failures: readonly Failure[]): unknown {
  const kinds: ((error: unknown) => boolean)[] = [
    (error) => !isOf(error, 'DISTRIBUTED') && !isOf(error, 'PROCESS') && !isAbort(error),
    (error) => isOf(error, 'PROCESS'),
    (error) => isOf(error, 'DISTRIBUTED'),
  ]
  for (const isKind of kinds) {
    const found = failures.find(({ error }) => isKind(error))
    if (found !== undefined) return named(found)
  }
  return failures[0]?.error
}

/** The error with its rank in front; a crash has it in its own words. */
function named({ rank, error }: Failure): unknown {
  if (!(error instanceof NnclrError) || error.code === 'PROCESS') return error
  const { code, subject, issues, message } = error
  return new NnclrError(code, subject, `rank ${rank}: ${message}`, { cause: error, issues })
}

function isOf(error: unknown, code: NnclrError['code']): boolean {
  return error instanceof NnclrError && error.code === code
}
