/** What is decided once the number of training pictures is known. */

import { type ConfigIssue, NnclrError } from '../errors.js'
import type { EvaluationSettings, MemoryBankSettings } from './settings.js'
import type { ResolvedConfig } from './train-config.js'

/** Pictures a step when `batchSize` is `'auto'` and the set is large enough. */
const AUTO_BATCH = 256
/** Embeddings in the bank when its size is `'auto'` and the set is large enough. */
const AUTO_BANK = 16_384
/** The batch for which `baseLr` is given, as in the paper and solo-learn. */
const BASE_BATCH = 256

/** A configuration without an `'auto'` that depends on the set or on other fields. */
export interface FittedConfig
  extends Omit<ResolvedConfig, 'batchSize' | 'lr' | 'memoryBank' | 'evaluation'> {
  /** Pictures a step. */
  batchSize: number
  /** Peak learning rate as applied. */
  lr: number
  /** Support set with its size. */
  memoryBank: MemoryBankSettings & { size: number }
  /** kNN classification with the side of its pictures. */
  evaluation: EvaluationSettings & { imageSize: number }
}

/**
 * Settles batch size, learning rate, bank and the side of compared pictures for `pictures` training pictures (after hold-out and
 * subset).
 *
 * @throws NnclrError CONFIG when the pictures are too few.
 */
export function fitToSet(config: ResolvedConfig, pictures: number): FittedConfig {
  const batchSize = config.batchSize === 'auto' ? Math.min(AUTO_BATCH, pictures) : config.batchSize
  const issues = tooFew(config, pictures, batchSize)
  if (issues.length > 0) throw NnclrError.config(issues)
  return {
    ...config,
    batchSize,
    lr: config.lr === 'auto' ? (config.baseLr * batchSize) / BASE_BATCH : config.lr,
    memoryBank: { ...config.memoryBank, size: bankSize(config.memoryBank, pictures) },
    evaluation: { ...config.evaluation, imageSize: comparedSide(config) },
  }
}

function comparedSide({ evaluation, imageSize }: ResolvedConfig): number {
  return evaluation.imageSize === 'auto' ? imageSize : evaluation.imageSize
}

function bankSize({ size }: MemoryBankSettings, pictures: number): number {
  return size === 'auto' ? Math.max(1, Math.min(AUTO_BANK, Math.floor(pictures / 2))) : size
}

function tooFew(config: ResolvedConfig, pictures: number, batchSize: number): ConfigIssue[] {
  if (pictures < 2) {
    const expected = 'at least 2 for training: batch normalisation needs two'
    return [{ field: 'data', value: `${pictures} pictures`, expected }]
  }
  if (batchSize > pictures && config.dropLast) {
    const expected = `at most the number of training pictures, ${pictures}, or 'auto'`
    return [{ field: 'batchSize', value: String(batchSize), expected, hint: 'or dropLast: false' }]
  }
  if (!config.dropLast && pictures % batchSize === 1) {
    const expected = 'true: the last batch would be one picture, and batch normalisation needs two'
    return [{ field: 'dropLast', value: 'false', expected, hint: 'or another batchSize' }]
  }
  return []
}
