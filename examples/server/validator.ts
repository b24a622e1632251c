/**
 * Validation of requests. Bodies are taken as they are: a wrong type or an unknown field is an
 * error, never a guess. Query and headers are text, which is read as the type that is wanted.
 */

import { Ajv, type ValidateFunction } from 'ajv'
import type { FastifySchemaCompiler } from 'fastify'

const COMMON = { allErrors: true, allowUnionTypes: true, strict: false } as const
const bodies = new Ajv({ ...COMMON })
const texts = new Ajv({ ...COMMON, coerceTypes: true, useDefaults: true })

/** As Fastify wants it. */
export const compileValidator: FastifySchemaCompiler<object> = ({
  schema,
  httpPart,
}): ValidateFunction => (httpPart === 'body' ? bodies : texts).compile(schema)
