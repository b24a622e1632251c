/**
 * Checks of single values. A check knows in words what it accepts, so that an error can say it;
 * nothing is coerced: a wrong type from plain JavaScript is an error, never a guess.
 */

import { nearest } from './nearest.js'

/** A JSON Schema, or a part of one. */
export type JsonSchema = { readonly [keyword: string]: unknown }

/** Accepts or refuses a value. */
export interface Check {
  /** The allowed range or kinds, in words. */
  readonly expected: string
  /** Whether the value is allowed. */
  accepts(value: unknown): boolean
  /** A remedy for this wrong value, where there is an obvious one. */
  hint?(value: unknown): string | undefined
}

/** The check of a field of the configuration. */
export interface FieldCheck extends Check {
  /** The same in JSON Schema, for values that JSON can hold; null when it can hold none. */
  readonly json: JsonSchema | null
}

/** Bounds of a number; both ends are allowed unless `above` or `below` says otherwise. */
interface Bounds {
  readonly min?: number
  readonly max?: number
  readonly above?: number
  readonly below?: number
}

function inWords({ min, max, above, below }: Bounds): string {
  const from = min === undefined ? (above === undefined ? '' : `above ${above}`) : `from ${min}`
  const to = max === undefined ? (below === undefined ? '' : `below ${below}`) : `to ${max}`
  return [from, to].filter((part) => part !== '').join(' ')
}

function within(value: number, { min, max, above, below }: Bounds): boolean {
  return (
    Number.isFinite(value) &&
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (above === undefined || value > above) &&
    (below === undefined || value < below)
  )
}

/** The bounds in JSON Schema's words. */
function inJson(type: 'number' | 'integer', { min, max, above, below }: Bounds): JsonSchema {
  return {
    type,
    ...(min === undefined ? {} : { minimum: min }),
    ...(max === undefined ? {} : { maximum: max }),
    ...(above === undefined ? {} : { exclusiveMinimum: above }),
    ...(below === undefined ? {} : { exclusiveMaximum: below }),
  }
}

/** The schema of either; what JSON cannot hold falls out. */
export function anyOf(...schemas: readonly (JsonSchema | null)[]): JsonSchema | null {
  const held = schemas.filter((schema) => schema !== null)
  return held.length > 1 ? { anyOf: held } : (held[0] ?? null)
}

function unquoted(accepts: (value: unknown) => boolean, value: unknown): string | undefined {
  const isQuoted = typeof value === 'string' && value.trim() !== '' && accepts(Number(value))
  return isQuoted ? 'write the number without quotes' : undefined
}

/** A finite number within the bounds. */
export function real(bounds: Bounds): FieldCheck {
  const accepts = (value: unknown): boolean => typeof value === 'number' && within(value, bounds)
  return {
    expected: `a number ${inWords(bounds)}`,
    accepts,
    json: inJson('number', bounds),
    hint: (value) => unquoted(accepts, value),
  }
}

/** A whole number within the bounds. */
export function whole(bounds: Bounds): FieldCheck {
  const accepts = (value: unknown): boolean =>
    Number.isSafeInteger(value) && within(value as number, bounds)
  return {
    expected: `a whole number ${inWords(bounds)}`,
    accepts,
    json: inJson('integer', bounds),
    hint: (value) => unquoted(accepts, value),
  }
}

/** A probability or share. */
export const share: FieldCheck = real({ min: 0, max: 1 })

/** true or false. */
export const flag: FieldCheck = {
  expected: 'true or false',
  accepts: (value) => typeof value === 'boolean',
  json: { type: 'boolean' },
  hint: (value) => (value === 'true' || value === 'false' ? 'write it without quotes' : undefined),
}

/** One of a few words. */
export function oneOf(...words: readonly string[]): FieldCheck {
  return {
    expected: words.map((word) => `'${word}'`).join(' | '),
    accepts: (value) => typeof value === 'string' && words.includes(value),
    json: { enum: words },
    hint: (value) => didYouMean(typeof value === 'string' ? nearest(value, words) : null),
  }
}

/** A word or what another check accepts. */
export function wordOr(word: string, check: FieldCheck): FieldCheck {
  return {
    expected: `${check.expected}, or '${word}'`,
    accepts: (value) => value === word || check.accepts(value),
    json: anyOf({ const: word }, check.json),
    hint: (value) =>
      check.hint?.(value) ?? didYouMean(typeof value === 'string' ? nearest(value, [word]) : null),
  }
}

/** null or what another check accepts. */
export function nullOr(check: FieldCheck): FieldCheck {
  return {
    ...check,
    expected: `${check.expected}, or null`,
    accepts: (value) => value === null || check.accepts(value),
    json: anyOf({ type: 'null' }, check.json),
  }
}

/** A text that is not empty and has no NUL, in JSON Schema. */
export const TEXT: JsonSchema = { type: 'string', pattern: '^[^\\0]+$' }

/** A text that is not empty; NUL cannot be part of a path. */
export function text(what: string): FieldCheck {
  return {
    expected: what,
    accepts: (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
    json: TEXT,
  }
}

/** A text of a pattern. */
export function matching(pattern: RegExp, expected: string): FieldCheck {
  const json = { type: 'string', pattern: pattern.source }
  return { expected, accepts: (value) => typeof value === 'string' && pattern.test(value), json }
}

/** `[least, most]`, each within the bounds. */
export function range(bounds: Bounds): FieldCheck {
  return {
    expected: `[least, most], two numbers ${inWords(bounds)} in rising order`,
    accepts: (value) =>
      Array.isArray(value) &&
      value.length === 2 &&
      value.every((end: unknown) => typeof end === 'number' && within(end, bounds)) &&
      value[0] <= value[1],
    // JSON Schema cannot say that the numbers rise.
    json: { type: 'array', items: inJson('number', bounds), minItems: 2, maxItems: 2 },
  }
}

/** `[red, green, blue]`, whole numbers from 0 to 255. */
export const colour: FieldCheck = {
  expected: '[red, green, blue], whole numbers from 0 to 255',
  json: {
    type: 'array',
    items: inJson('integer', { min: 0, max: 255 }),
    minItems: 3,
    maxItems: 3,
  },
  accepts: (value) => {
    const channel = whole({ min: 0, max: 255 })
    return (
      Array.isArray(value) && value.length === 3 && value.every((part) => channel.accepts(part))
    )
  },
}

/** The hint for a word that is nearly right. */
export function didYouMean(word: string | null): string | undefined {
  return word === null ? undefined : `did you mean '${word}'?`
}

/** A value as an error message shows it: short, and telling `'1'` from `1`. */
export function show(value: unknown): string {
  const limit = 60
  const full = inFull(value)
  return full.length <= limit ? full : `${full.slice(0, limit - 1)}…`
}

function inFull(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  if (typeof value === 'function') return 'a function'
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return `[${value.slice(0, 10).map(inFull).join(', ')}]`
  const keys = Object.keys(value).slice(0, 10)
  return keys.length === 0 ? '{}' : `{ ${keys.join(', ')} }`
}
