/**
 * From what a caller writes to a complete, checked configuration. All problems are found before
 * anything starts and are reported together. Pure: no files, no machine; what depends on the size
 * of the set is settled by `fitToSet`, what depends on the machine (`'auto'` threads, device)
 * later.
 */

import { type Check, didYouMean, show } from './config/check.js'
import { contradictions } from './config/contradictions.js'
import { nearest } from './config/nearest.js'
import { schema } from './config/schema.js'
import type { Settings } from './config/settings.js'
import type { ResolvedConfig, RunFields } from './config/train-config.js'
import { type ConfigIssue, NnclrError } from './errors.js'
import { type PresetName, presets } from './presets.js'

export { type FittedConfig, fitToSet } from './config/fit.js'
export type {
  BackboneName,
  CheckpointSettings,
  DistributedSettings,
  EvaluationSettings,
  MemoryBankSettings,
  PredictionHeadSettings,
  ProjectionHeadSettings,
  Settings,
  StemName,
} from './config/settings.js'
export type { ResolvedConfig, RunFields, TrainConfig } from './config/train-config.js'
export type { TransformSettings } from './config/transform-settings.js'

/** Fields as they are read from a caller's object. */
type Values = Record<string, unknown>

/** Checks as the walk sees them: a check, or a group of checks. */
interface Checks {
  readonly [field: string]: Check | Checks
}

const CHECKS: Checks = schema

/** What `train` does without, when it is not given. */
const RUN_DEFAULTS: Omit<RunFields, 'data' | 'out' | 'preset'> = {
  validation: null,
  weights: null,
  resume: false,
  overwrite: false,
  signal: null,
}

/** Warm-up that is not given is at most this share of the epochs, so that short runs reach `lr`. */
const LONGEST_WARMUP = 0.1

/**
 * Checks a configuration and fills it in: explicit fields, then the preset's, group by group.
 * A field that is `undefined` counts as not given.
 *
 * @throws NnclrError CONFIG listing every problem: field, value, what is allowed, nearest valid
 * key.
 */
export function resolveConfig(input: unknown): ResolvedConfig {
  if (!isRecord(input)) {
    const expected = 'an object with at least data and out'
    throw NnclrError.config([{ field: 'config', value: show(input), expected }])
  }
  const issues: ConfigIssue[] = []
  const given = readGroup(input, CHECKS, '', issues)
  for (const field of ['data', 'out'] as const) {
    if (input[field] === undefined) {
      issues.push({ field, value: 'nothing', expected: schema[field].expected })
    }
  }
  const preset = (given['preset'] as PresetName | undefined) ?? 'default'
  const base: Settings = presets[preset]
  const config = { ...RUN_DEFAULTS, preset, ...overlay(base, given) } as ResolvedConfig
  if (given['warmupEpochs'] === undefined) {
    config.warmupEpochs = Math.min(base.warmupEpochs, config.epochs * LONGEST_WARMUP)
  }
  issues.push(...contradictions(config, base))
  if (issues.length > 0) throw NnclrError.config(issues)
  return config
}

/**
 * A configuration as plain JSON, for the run directory and checkpoints: without the signal, and
 * with data sets that are not a path told by kind.
 */
export function configRecord<C extends RunFields>(config: C): Record<string, unknown> {
  const { signal: _signal, data, validation, ...settings } = config
  return { ...settings, data: describeData(data), validation: describeData(validation) }
}

/** Every field's path, groups written with a dot; for `--help` and flags. */
export function configFields(): { field: string; expected: string }[] {
  return Object.entries(CHECKS).flatMap(([field, check]) =>
    isCheck(check)
      ? [{ field, expected: check.expected }]
      : Object.entries(check as Record<string, Check>).map(([name, inner]) => ({
          field: `${field}.${name}`,
          expected: inner.expected,
        })),
  )
}

/** Reads the allowed fields of a group; everything wrong goes to `issues`. */
function readGroup(input: Values, checks: Checks, prefix: string, issues: ConfigIssue[]): Values {
  const values: Values = {}
  for (const key of Object.keys(input)) {
    const value = input[key]
    const field = prefix + key
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined
    if (check === undefined) {
      issues.push(unknownField(key, value, prefix, checks))
    } else if (value === undefined) {
      // Not given: the preset's.
    } else if (!isCheck(check)) {
      if (isRecord(value)) values[key] = readGroup(value, check, `${field}.`, issues)
      else
        issues.push({
          field,
          value: show(value),
          expected: `an object of ${Object.keys(check).join(', ')}`,
        })
    } else if (check.accepts(value)) {
      values[key] = value
    } else {
      issues.push(issueOf(field, value, check.expected, check.hint?.(value)))
    }
  }
  return values
}

function unknownField(key: string, value: unknown, prefix: string, siblings: Checks): ConfigIssue {
  const sibling = nearest(key, Object.keys(siblings))
  const paths = configFields().map(({ field }) => field)
  // A right name in the wrong place: `cropScale` for `transform.cropScale`.
  const leaves = new Map(paths.map((path) => [path.slice(path.lastIndexOf('.') + 1), path]))
  const leaf = nearest(key, [...leaves.keys()])
  const suggestion =
    sibling === null ? (leaf === null ? null : (leaves.get(leaf) ?? null)) : prefix + sibling
  return issueOf(prefix + key, value, 'a known field', didYouMean(suggestion))
}

function issueOf(
  field: string,
  value: unknown,
  expected: string,
  hint: string | undefined,
): ConfigIssue {
  const issue = { field, value: show(value), expected }
  return hint === undefined ? issue : { ...issue, hint }
}

/**
 * `given` over `base`, groups field by field, arrays copied so that no caller's array is shared.
 */
function overlay(base: object, given: Values): Values {
  const merged: Values = { ...base, ...given }
  for (const [key, value] of Object.entries(base)) {
    const own = merged[key]
    if (isRecord(value)) merged[key] = overlay(value, isRecord(given[key]) ? given[key] : {})
    else if (Array.isArray(own)) merged[key] = [...(own as unknown[])]
  }
  return merged
}

function describeData(data: unknown): unknown {
  if (Array.isArray(data)) return { kind: 'array', length: data.length }
  if (!isRecord(data)) return data
  const { kind, root } = data
  return {
    kind: typeof kind === 'string' ? kind : 'data set',
    ...(typeof root === 'string' ? { root } : {}),
  }
}

function isRecord(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCheck(check: Check | Checks): check is Check {
  return typeof check['accepts'] === 'function'
}
