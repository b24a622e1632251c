/** The configuration as JSON Schema, made of the same table as the errors and `--help`. */

import { presets } from '../presets.js'
import type { FieldCheck, JsonSchema } from './check.js'
import { schema } from './schema.js'

/** A check, or a group of checks. */
type Entry = FieldCheck | { readonly [field: string]: FieldCheck }

/**
 * JSON Schema (draft 2020-12) of `TrainConfig`, as far as JSON can hold it: without `signal`, and
 * with paths for pictures. `default` is that of preset `'default'`. What concerns several fields at
 * once is found by `train` alone.
 */
export const configSchema: JsonSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'TrainConfig',
  ...objectOf(schema, presets.default),
  required: ['data', 'out'],
}

function objectOf(entries: Readonly<Record<string, Entry>>, defaults: unknown): JsonSchema {
  const known = defaults as Readonly<Record<string, unknown>>
  const properties = Object.entries(entries).flatMap(([field, entry]) => {
    const property = propertyOf(entry, known[field])
    return property === null ? [] : [[field, property] as const]
  })
  return {
    type: 'object',
    properties: Object.fromEntries(properties),
    additionalProperties: false,
  }
}

function propertyOf(entry: Entry, value: unknown): JsonSchema | null {
  if (!isCheck(entry)) return objectOf(entry, value)
  if (entry.json === null) return null
  const fallback = value === undefined ? {} : { default: value }
  return { description: entry.expected, ...entry.json, ...fallback }
}

function isCheck(entry: Entry): entry is FieldCheck {
  return typeof entry['accepts'] === 'function'
}
