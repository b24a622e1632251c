/** The check of an AbortSignal that comes beside a configuration, not in it. */

import { NnclrError } from '../errors.js'
import { show } from './check.js'
import { schema } from './schema.js'

/** @throws NnclrError CONFIG for what cannot stop anything. */
export function checkSignal(signal: unknown = null): void {
  if (schema.signal.accepts(signal)) return
  const { expected } = schema.signal
  throw NnclrError.config([{ field: 'signal', value: show(signal), expected }])
}
