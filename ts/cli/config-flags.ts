/** The fields of the configuration as flags, and flags as fields. */

import type { Check } from '../config/check.js'
import { schema } from '../config/schema.js'
import { configFields } from '../config.js'
import { presets } from '../presets.js'
import { FIELD_GROUPS, PROGRAM_ONLY } from './field-words.js'
import type { Flag } from './flags.js'

/** Flags of one theme. */
export interface FlagGroup {
  readonly title: string
  readonly flags: readonly Flag[]
}

/** What a run does without, when a field that no preset has is not given. */
const RUN_FALLBACKS: Readonly<Record<string, string>> = {
  preset: 'default',
  validation: 'none',
  weights: 'none',
  resume: 'off',
  overwrite: 'off',
}

/** All fields as flags, in the groups of `--help`. */
export function configFlags(): readonly FlagGroup[] {
  const expected = new Map(configFields().map(({ field, expected }) => [field, expected]))
  return FIELD_GROUPS.map(({ title, words }) => ({
    title,
    flags: Object.entries(words).map(([field, meaning]) => ({
      key: field,
      name: flagName(field),
      aliases: flagAliases(field),
      isSwitch: checkOf(field)?.accepts(true) === true,
      words: meaning,
      expected: SHELL_RANGES[field] ?? forTheShell(expected.get(field) ?? ''),
      ...fallbackOf(field),
    })),
  }))
}

/** `transform.cropScale` as `transform.crop-scale`. */
export function flagName(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/**
 * A configuration from flags over one from a file. Neither is checked here: `resolveConfig` sees the
 * values as they were meant and reports what is wrong with them.
 */
export function configFrom(
  values: ReadonlyMap<string, string | boolean>,
  file: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const config: Record<string, unknown> = structuredClone(file)
  for (const [field, value] of values) {
    const check = checkOf(field)
    if (check === null || PROGRAM_ONLY.has(field)) continue
    const [head = field, inner] = field.split('.')
    const meant = typeof value === 'string' ? valueFromText(value, check) : value
    if (inner === undefined) config[head] = meant
    else config[head] = { ...(isRecord(config[head]) ? config[head] : {}), [inner]: meant }
  }
  return config
}

/** The first reading of a text that the field accepts; the likeliest one when it accepts none. */
export function valueFromText(text: string, check: Check): unknown {
  const readings: unknown[] = []
  const number = numberFromText(text)
  if (number !== null) readings.push(number)
  if (text === 'null' || text === 'none') readings.push(null)
  if (text.includes(',')) readings.push(text.split(',').map((part) => numberFromText(part) ?? part))
  readings.push(text)
  const accepted = readings.find((reading) => check.accepts(reading))
  return accepted === undefined ? readings[0] : accepted
}

function numberFromText(text: string): number | null {
  // `Number` alone takes '' and ' ' for 0.
  return text.trim() === '' || Number.isNaN(Number(text)) ? null : Number(text)
}

function checkOf(field: string): Check | null {
  let found: unknown = schema
  for (const part of field.split('.')) {
    if (!isRecord(found) || !Object.hasOwn(found, part)) return null
    found = found[part]
  }
  return isRecord(found) && typeof found['accepts'] === 'function'
    ? (found as unknown as Check)
    : null
}

/** The same flag in one word of dashes, and as the field is written in a file. */
function flagAliases(field: string): string[] {
  const name = flagName(field)
  return [name.replaceAll('.', '-'), field].filter((alias) => alias !== name)
}

/** Ranges that read differently on a command line; empty where the meaning says it all. */
const SHELL_RANGES: Readonly<Record<string, string>> = {
  data: '',
  out: '',
  weights: '',
  validation: 'a folder, or a number above 0 to 0.5',
}

/** A shell takes quotes and brackets away, and no one needs to read the largest whole number. */
function forTheShell(expected: string): string {
  return expected
    .replace(/\[((?:least|red)[^\]]*)\]/, (_, parts: string) => parts.replaceAll(' ', ''))
    .replace(` to ${Number.MAX_SAFE_INTEGER}`, ' up')
    .replaceAll("'", '')
}

function fallbackOf(field: string): { fallback?: string } {
  const [head = field, inner] = field.split('.')
  let value: unknown = (presets.default as unknown as Record<string, unknown>)[head]
  if (inner !== undefined && isRecord(value)) value = value[inner]
  if (value === undefined) {
    const words = RUN_FALLBACKS[field]
    return words === undefined ? {} : { fallback: words }
  }
  if (typeof value === 'boolean') return { fallback: value ? 'on' : 'off' }
  return { fallback: Array.isArray(value) ? value.map(shortNumber).join(',') : shortNumber(value) }
}

function shortNumber(value: unknown): string {
  return typeof value === 'number'
    ? String(Number.isInteger(value) ? value : Number(value.toPrecision(4)))
    : String(value)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
