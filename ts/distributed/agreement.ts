/** Whether all ranks were started for the same training: settings, pictures, versions. */

import { show } from '../config/check.js'
import { configRecord, type FittedConfig } from '../config.js'
import type { Dataset } from '../data/dataset.js'
import { type ConfigIssue, NnclrError } from '../errors.js'
import { native } from '../native.js'
import { type Ranks, ranksInWords } from './ranks.js'

/** What may differ: how each machine does its part, and by which path it reaches the pictures. */
const OWN: ReadonlySet<string> = new Set([
  'device',
  'threads',
  'workers',
  'cacheBytes',
  'out',
  'data',
  'validation',
  'distributed.networkInterface',
])

/** What a rank was started with, by field. */
export type Facts = Readonly<Record<string, unknown>>

/** What a rank knows about its machine. */
export interface RankMachine {
  /** `cpu` or `cuda:N`. */
  readonly device: string
  /** The arithmetic it would use. */
  readonly precision: string
}

/** This rank's facts; `sets` are the training pictures and those of validation. */
export async function factsOf(
  config: FittedConfig,
  sets: readonly (Dataset | null)[],
  machine: RankMachine,
): Promise<Facts> {
  const { version, torch } = await native.nativeInfo()
  const settings = Object.entries(flat(configRecord(config))).filter(([field]) => !OWN.has(field))
  const [data, validation] = sets.map((set) =>
    set === null ? null : `${set.length} pictures, ${set.fingerprint.slice(0, 8)}`,
  )
  return {
    ...Object.fromEntries(settings),
    data,
    validation,
    device: machine.device.replace(/:.*/, ''),
    precision: machine.precision,
    nnclr: version,
    libtorch: torch,
  }
}

/**
 * Compares this rank's facts with the others'.
 *
 * @throws NnclrError CONFIG on every rank, naming each field that differs, its values and whose
 * they are.
 */
export async function agree(ranks: Ranks, mine: Facts): Promise<void> {
  const issues = differences(await ranks.gather(mine))
  if (issues.length > 0) throw NnclrError.config(issues)
}

/** The fields that are not the same everywhere; `all` are the facts in rank order. */
export function differences(all: readonly Facts[]): ConfigIssue[] {
  const fields = [...new Set(all.flatMap((facts) => Object.keys(facts)))]
  return fields.flatMap((field) => {
    const holders = new Map<string, number[]>()
    for (const [rank, facts] of all.entries()) {
      const text = JSON.stringify(facts[field] ?? null)
      holders.set(text, [...(holders.get(text) ?? []), rank])
    }
    if (holders.size <= 1) return []
    const values = [...holders].map(
      ([text, ranks]) => `${show(JSON.parse(text))} on ${ranksInWords(ranks)}`,
    )
    return [{ field, value: values.join(', '), expected: 'the same on every rank' }]
  })
}

/** Groups' fields by path. */
function flat(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(record).flatMap(([field, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).map(([inner, own]) => [`${field}.${inner}`, own] as const)
      : [[field, value] as const],
  )
  return Object.fromEntries(entries)
}
