/** What a client may set of a training: the library's own schema, with paths in the data folder. */

import { configSchema, type TrainConfig } from 'nnclr'
import { COMPUTING_THREADS } from './cores.js'
import type { DataRoot } from './data-root.js'

/** Chosen by the server, or of no use over HTTP. */
const WITHHELD = ['out', 'resume', 'overwrite', '$schema', 'title'] as const

/** A run as it is asked for. */
export type RunRequest = Omit<TrainConfig, 'out' | 'signal' | 'data' | 'validation' | 'weights'> & {
  readonly data: string
  readonly validation?: string | number | null
  readonly weights?: string | null
}

const FOLDER = { type: 'string', minLength: 1, description: 'a path within the data folder' }

/** The JSON Schema of `RunRequest`. */
export const RUN_REQUEST_SCHEMA: Record<string, unknown> = requestSchema()

function requestSchema(): Record<string, unknown> {
  const { $schema: _, title: __, ...schema } = configSchema
  const properties = { ...(schema['properties'] as Record<string, unknown>) }
  for (const field of WITHHELD) delete properties[field]
  const share = { type: 'number', exclusiveMinimum: 0, maximum: 0.5 }
  const validation = { anyOf: [{ type: 'null' }, share, FOLDER] }
  const weights = { anyOf: [{ type: 'null' }, FOLDER] }
  // A default in the schema would be filled in by the validator and hide the preset's.
  const own = withoutDefaults({ ...properties, data: FOLDER, validation, weights })
  return { ...schema, properties: own, required: ['data'] }
}

/** The paths of a request as this machine has them. @throws Problem for those that lead out */
export async function withPaths(
  { data, validation, weights, ...settings }: RunRequest,
  root: DataRoot,
): Promise<Omit<TrainConfig, 'out' | 'signal'>> {
  const optional = async <T>(value: T | string): Promise<T | string> =>
    typeof value === 'string' ? root.resolve(value) : value
  return {
    threads: COMPUTING_THREADS,
    ...settings,
    data: await root.resolve(data),
    ...(validation === undefined ? {} : { validation: await optional(validation) }),
    ...(weights === undefined ? {} : { weights: await optional(weights) }),
  }
}

function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDefaults)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([key]) => key !== 'default')
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutDefaults(inner)]))
}
