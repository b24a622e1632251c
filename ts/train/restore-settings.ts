/** A resumed run's settings: those it began with, and what the caller may change. */

import { type ResolvedConfig, resolveConfig } from '../config.js'
import { type ConfigIssue, NnclrError } from '../errors.js'

/** Fields that decide the numbers of a run; another value would make it another run. */
const FIXED = [
  'batchSize',
  'imageSize',
  'backbone',
  'stem',
  'projectionHead',
  'predictionHead',
  'memoryBank',
  'neighbours',
  'neighbourWarmup',
  'neighbourWeight',
  'viewLoss',
  'loss',
  'temperature',
  'optimizer',
  'lr',
  'baseLr',
  'schedule',
  'lrEnd',
  'warmupEpochs',
  'warmupStart',
  'momentum',
  'weightDecay',
  'nesterov',
  'seed',
  'subset',
  'dropLast',
  'transform',
] as const satisfies readonly (keyof ResolvedConfig)[]

/** Fields that decide the numbers of a run on several ranks, and nothing on one. */
const FIXED_ON_RANKS = [
  'syncBatchNorm',
  'gatherNegatives',
] as const satisfies readonly (keyof ResolvedConfig)[]

/**
 * What is not given again is as recorded; what is given must be the same, except for `epochs`, which
 * may grow, and the settings that only concern the machine, logging and evaluation. The number of ranks
 * may change; what counts between ranks stays as recorded when there is one, where it has no effect.
 *
 * @throws NnclrError CONFIG naming every field that differs.
 */
export function restoreSettings(
  input: unknown,
  recorded: Record<string, unknown>,
  notes: string[],
  worldSize: number = 1,
): ResolvedConfig {
  const before = recorded['config'] as Record<string, unknown>
  // How that call began, and on which ranks, says nothing about this one.
  const { data: _data, resume: _resume, overwrite: _overwrite, ...kept } = before
  const { devices: _devices, distributed: _distributed, validation, ...rest } = kept
  // A share and a folder's path can be told from config.json; other sets must be given again.
  const isTold = typeof validation === 'number' || typeof validation === 'string'
  const settings: Record<string, unknown> = isTold ? { ...rest, validation } : rest
  // In a run of before there was a weight, neighbours were the only positives; gradient then flowed
  // through p alone.
  settings['neighbourWeight'] ??= 1
  settings['viewLoss'] ??= 'predicted'
  const given = Object.entries(input as Record<string, unknown>)
  const now = resolveConfig(
    merged(settings, Object.fromEntries(given.filter(([, v]) => v !== undefined))),
  )
  const issues: ConfigIssue[] = []
  for (const field of FIXED_ON_RANKS) {
    // A run of before there were ranks has no record of it.
    settings[field] ??= true
    if (worldSize === 1) now[field] = settings[field] as boolean
  }
  for (const field of [...FIXED, ...FIXED_ON_RANKS]) {
    const [was, is] = [JSON.stringify(settings[field]), JSON.stringify(now[field])]
    if (was !== is) {
      const expected = `${was}, as the run began; resume goes on with the same settings`
      issues.push({ field, value: is, expected })
    }
  }
  const [held, holds] = [heldBack(validation), heldBack(now.validation)]
  if (held !== holds) {
    const expected = `${held === 0 ? 'no share' : `the share ${held}`} held back, as the run began`
    issues.push({ field: 'validation', value: JSON.stringify(holds), expected })
  }
  if (issues.length > 0) throw NnclrError.config(issues)
  if (!isTold && validation !== null && now.validation === null) {
    notes.push('validation was not given again and is no path: nothing is evaluated from here on')
  }
  const epochs = settings['epochs'] as number
  if (now.epochs !== epochs) {
    notes.push(
      `epochs is ${now.epochs} now and was ${epochs}: the learning-rate schedule is that of ${now.epochs} epochs`,
    )
  }
  return now
}

/** What is held back does not train, so that it decides the numbers too. */
function heldBack(validation: unknown): number {
  return typeof validation === 'number' ? validation : 0
}

/** `over` on `base`, groups field by field. */
function merged(
  base: Record<string, unknown>,
  over: Record<string, unknown>,
): Record<string, unknown> {
  const result = { ...base }
  for (const [key, value] of Object.entries(over)) {
    const below = base[key]
    result[key] = isGroup(value) && isGroup(below) ? { ...below, ...value } : value
  }
  return result
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  )
}
