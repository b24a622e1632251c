/** Which pictures train, which are compared with, and which are classified. */

import type { ResolvedConfig } from '../config.js'
import type { Dataset } from '../data/dataset.js'
import { openDataset } from '../data/open-dataset.js'
import { NnclrError } from '../errors.js'
import { naturals, splitHoldout, subsetOf } from '../sampler.js'

/** The parts of the pictures. */
export interface Split {
  readonly train: Uint32Array
  readonly references: Uint32Array
  readonly queries: { dataset: Dataset; indices: Uint32Array; classes: number } | null
}

/** Training pictures, and for validation the references among them and the queries. */
export async function split(config: ResolvedConfig, dataset: Dataset): Promise<Split> {
  const { validation, subset, seed, evaluation } = config
  const held = typeof validation === 'number' && validation > 0
  const parts = held
    ? splitHoldout(dataset.length, validation, seed)
    : { train: naturals(dataset.length), holdout: new Uint32Array() }
  const train = subsetOf(parts.train, subset, seed)
  const share = evaluation.samples === 'all' ? 1 : Math.min(1, evaluation.samples / train.length)
  const references = subsetOf(train, share, seed)
  if (validation === null || validation === 0) return { train, references, queries: null }
  const other = held ? dataset : await openDataset(validation as Exclude<typeof validation, number>)
  const indices = held ? parts.holdout : naturals(other.length)
  const classes = classCount(dataset, other)
  return { train, references, queries: { dataset: other, indices, classes } }
}

/** Classes of both sets, which must mean the same ones. */
function classCount(dataset: Dataset, other: Dataset): number {
  if (dataset.labels === null || other.labels === null) {
    const which = dataset.labels === null ? 'data' : 'validation'
    const expected = 'labels (sub-folders by class, or a label a sample): kNN compares classes'
    throw NnclrError.config([{ field: which, value: 'pictures without labels', expected }])
  }
  const [ours, theirs] = [dataset.classes?.join('\n'), other.classes?.join('\n')]
  if (ours !== undefined && theirs !== undefined && ours !== theirs) {
    const expected = `the classes of data: ${dataset.classes?.join(', ')}`
    throw NnclrError.config([
      { field: 'validation', value: `classes ${other.classes?.join(', ')}`, expected },
    ])
  }
  return 1 + Math.max(maxOf(dataset.labels), maxOf(other.labels))
}

function maxOf(labels: Int32Array): number {
  return labels.reduce((most, label) => Math.max(most, label), 0)
}
