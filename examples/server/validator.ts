/**
 * Validation of requests. Bodies are taken as they are: a wrong type or an unknown field is an
 * error, never a guess. Query and headers are text, which is read as the type that is wanted.
 */

import { Ajv, type ValidateFunction } from 'ajv'
import type { FastifySchemaCompiler } from 'fastify'

// The first error is enough: a list of all of them can be longer than what was sent.
const COMMON = { allErrors: false, allowUnionTypes: true, strict: false } as const
const bodies = new Ajv({ ...COMMON })
const texts = new Ajv({ ...COMMON, coerceTypes: true, useDefaults: true })

/** As Fastify wants it. */
export const compileValidator: FastifySchemaCompiler<object> = ({
  schema,
  httpPart,
}): ValidateFunction => (httpPart === 'body' ? bodies : texts).compile(schema)
