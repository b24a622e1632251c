/** Which setting it was that could not be sent to another process. */

import { show } from '../config/check.js'
import { NnclrError } from '../errors.js'
import type { StartMessage } from './messages.js'

const EXPECTED = 'a value that can be sent to a process of its own: no functions in it'

/** The error of a start message that holds something which cannot be cloned. */
export function explainUnsendable({ settings, pictures }: StartMessage, cause: unknown): Error {
  for (const [field, value] of Object.entries(settings)) {
    if (!isSendable(value)) return refusal(field, value)
  }
  for (const [field, record] of Object.entries(pictures)) {
    if (record.as === 'array') {
      const index = record.entries.findIndex((entry) => !isSendable(entry))
      if (index !== -1) return refusal(`${field}[${index}]`, record.entries[index])
    } else if (!isSendable(record)) {
      return refusal(field, record)
    }
  }
  return NnclrError.from(cause, 'child process')
}

function isSendable(value: unknown): boolean {
  try {
    structuredClone(value)
    return true
  } catch {
    return false
  }
}

function refusal(field: string, value: unknown): NnclrError {
  return NnclrError.config([{ field, value: show(value), expected: EXPECTED }])
}
