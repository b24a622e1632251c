/** Errors as clients see them: a status, a stable code, and a sentence. */

import { NnclrError } from 'nnclr'

/** An error that the client is told as it is. */
export class Problem extends Error {
  readonly statusCode: number
  readonly code: string

  constructor(statusCode: number, code: string, message: string) {
    super(message)
    this.statusCode = statusCode
    this.code = code
  }
}

/** nnclr's codes that are the client's doing; the others are ours. */
const STATUS: Readonly<Record<string, number>> = {
  CONFIG: 400,
  SHAPE: 400,
  DEVICE: 400,
  DECODE: 422,
  CHECKPOINT: 409,
}

/** The answer to a failed request. */
export interface ProblemBody {
  readonly statusCode: number
  readonly code: string
  readonly message: string
}

/** What is told of an error. What is not the client's business is told without its text. */
export function problemOf(error: unknown): ProblemBody {
  if (error instanceof Problem) {
    const { statusCode, code, message } = error
    return { statusCode, code, message }
  }
  if (error instanceof NnclrError) {
    const statusCode = STATUS[error.code] ?? 500
    const message = statusCode === 500 ? 'the server failed' : error.message
    return { statusCode, code: error.code, message }
  }
  const { statusCode = 500, code = 'ERROR', message = '' } = error as Partial<Problem>
  if (statusCode >= 400 && statusCode < 500) return { statusCode, code, message }
  return { statusCode: 500, code: 'ERROR', message: 'the server failed' }
}

/** Its JSON Schema. */
export const PROBLEM_SCHEMA = {
  type: 'object',
  properties: {
    statusCode: { type: 'integer' },
    code: { type: 'string' },
    message: { type: 'string' },
  },
  required: ['statusCode', 'code', 'message'],
} as const
