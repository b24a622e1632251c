/** All measures, in the order in which they run and stand in the table. */

import type { Measure } from './measure.js'
import { bank } from './measures/bank.js'
import { embed } from './measures/embed.js'
import { epoch } from './measures/epoch.js'
import { epochBf16 } from './measures/epoch-bf16.js'
import { epochResnet50 } from './measures/epoch-resnet50.js'
import { firstStep } from './measures/first-step.js'
import { growthBank, growthBatch, growthSet, growthWorkers } from './measures/growth.js'
import { memory } from './measures/memory.js'
import { ranks } from './measures/ranks.js'
import { views32, views224, views224Cached } from './measures/views.js'
import { dataWait, eventLoop } from './measures/while-training.js'

/** Every measure. */
export const MEASURES: readonly Measure[] = [
  epoch,
  epochBf16,
  views32,
  views224,
  views224Cached,
  bank,
  embed,
  epochResnet50,
  memory,
  firstStep,
  eventLoop,
  dataWait,
  ranks,
  growthWorkers,
  growthBatch,
  growthBank,
  growthSet,
]

/** Words of the command line that select measures. */
export const KNOWN: ReadonlySet<string> = new Set(
  MEASURES.flatMap(({ name, family }) => (family === undefined ? [name] : [name, family])),
)

/** The measures that `names` select, in their own order; without names those that run unasked. */
export function selected(names: readonly string[], hasBf16: boolean): Measure[] {
  return MEASURES.filter(({ name, family, onlyNamed }) => {
    if (names.length === 0) return onlyNamed({ hasBf16 }) === null
    return names.includes(name) || (family !== undefined && names.includes(family))
  })
}

/** A line for each measure, for `--help`: those that run only when named say why. */
export function measureLines(hasBf16: boolean): string[] {
  return MEASURES.map(({ name, onlyNamed }) => {
    const reason = onlyNamed({ hasBf16 })
    return reason === null ? name : `${name.padEnd(17)}* only when named: ${reason}`
  })
}
