/** Which values each field may take. The compiler holds it to be complete. */

import { PRESET_NAMES } from '../presets.js'
import {
  anyOf,
  colour,
  type FieldCheck,
  flag,
  matching,
  nullOr,
  oneOf,
  range,
  real,
  share,
  TEXT,
  text,
  whole,
  wordOr,
} from './check.js'
import type { SettingsGroup } from './settings.js'
import type { ResolvedConfig } from './train-config.js'

/** A check for each field, nested as the configuration is. */
type Schema = { readonly [K in Exclude<keyof ResolvedConfig, SettingsGroup>]: FieldCheck } & {
  readonly [G in SettingsGroup]: { readonly [F in keyof ResolvedConfig[G]]: FieldCheck }
}

const MILLION = 1_000_000
const MOST_RANKS = 1024
const SECONDS_A_DAY = 86_400
const WIDEST_LAYER = 65_536
/** Pixels a side; the network's activations for more would not fit any machine at hand. */
const LARGEST_VIEW = 4096

const dataInput: FieldCheck = {
  expected: 'a folder, a data set, or an array of paths or { path | bytes, label? }, not empty',
  accepts: isDataInput,
  // Bytes and data sets are objects of the program; JSON has paths.
  json: {
    anyOf: [
      TEXT,
      {
        type: 'array',
        minItems: 1,
        items: {
          anyOf: [
            TEXT,
            {
              type: 'object',
              properties: {
                path: TEXT,
                label: { anyOf: [{ type: 'integer', minimum: 0 }, { type: 'string' }] },
              },
              required: ['path'],
              additionalProperties: false,
            },
          ],
        },
      },
    ],
  },
}

const heldBack = real({ above: 0, max: 0.5 })

const validationInput: FieldCheck = {
  expected: `${dataInput.expected}; or the share to hold back, ${heldBack.expected}; or null`,
  accepts: (value) => value === null || heldBack.accepts(value) || isDataInput(value),
  json: anyOf({ type: 'null' }, heldBack.json, dataInput.json),
}

const abortSignal: FieldCheck = {
  expected: 'an AbortSignal, or null',
  accepts: (value) => value === null || isAbortSignal(value),
  json: null,
}

/** The checks of all fields. */
export const schema: Schema = {
  data: dataInput,
  out: text('the path of the run directory'),
  validation: validationInput,
  preset: oneOf(...PRESET_NAMES),
  weights: nullOr(text('the path of a safetensors file')),
  resume: flag,
  overwrite: flag,
  signal: abortSignal,

  epochs: whole({ min: 1, max: MILLION }),
  batchSize: wordOr('auto', whole({ min: 2, max: 2 ** 20 })),
  imageSize: whole({ min: 8, max: LARGEST_VIEW }),
  backbone: oneOf('resnet10', 'resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152'),
  stem: oneOf('imagenet', 'cifar', 'small'),
  projectionHead: {
    hidden: whole({ min: 1, max: WIDEST_LAYER }),
    out: whole({ min: 1, max: WIDEST_LAYER }),
  },
  predictionHead: { hidden: whole({ min: 1, max: WIDEST_LAYER }) },
  memoryBank: {
    size: wordOr('auto', whole({ min: 1, max: 2 ** 24 })),
    warmup: oneOf('random', 'fill'),
  },
  neighbours: oneOf('bank', 'none', 'random'),
  neighbourWarmup: wordOr('auto', share),
  neighbourWeight: share,
  viewLoss: oneOf('simclr', 'predicted'),
  loss: oneOf('nt-xent', 'paper'),
  temperature: real({ above: 0, max: 100 }),
  optimizer: oneOf('sgd', 'lars', 'adamw', 'muon'),
  lr: wordOr('auto', real({ above: 0, max: 1000 })),
  baseLr: real({ above: 0, max: 1000 }),
  schedule: oneOf('cosine', 'constant'),
  lrEnd: real({ min: 0, max: 1000 }),
  warmupEpochs: real({ min: 0, max: MILLION }),
  warmupStart: real({ min: 0, max: 1000 }),
  momentum: real({ min: 0, below: 1 }),
  weightDecay: real({ min: 0, max: 10 }),
  nesterov: flag,
  precision: oneOf('auto', 'fp32', 'bf16'),
  device: matching(/^(auto|cpu|cuda|cuda:\d{1,3})$/, "'auto' | 'cpu' | 'cuda' | 'cuda:N'"),
  devices: wordOr('auto', whole({ min: 1, max: MOST_RANKS })),
  syncBatchNorm: flag,
  gatherNegatives: flag,
  distributed: {
    timeoutSeconds: whole({ min: 1, max: SECONDS_A_DAY }),
    joinTimeoutSeconds: whole({ min: 1, max: SECONDS_A_DAY }),
    networkInterface: nullOr(text('the name of a network interface')),
    checkEverySteps: whole({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  },
  threads: wordOr('auto', whole({ min: 1, max: 1024 })),
  workers: wordOr('auto', whole({ min: 1, max: 1024 })),
  cacheBytes: whole({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  seed: whole({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  subset: real({ above: 0, max: 1 }),
  dropLast: flag,
  onBadImage: oneOf('error', 'skip'),
  maxBadShare: share,
  transform: {
    cropScale: range({ above: 0, max: 1 }),
    cropRatio: range({ min: 0.01, max: 100 }),
    horizontalFlip: share,
    verticalFlip: share,
    rotation: share,
    rotationDegrees: nullOr(real({ min: 0, max: 180 })),
    jitter: share,
    jitterStrength: real({ min: 0, max: 10 }),
    brightness: real({ min: 0, max: 10 }),
    contrast: real({ min: 0, max: 10 }),
    saturation: real({ min: 0, max: 10 }),
    hue: real({ min: 0, max: 10 }),
    grayscale: share,
    blur: share,
    blurSigma: range({ min: 0, max: 100 }),
  },
  evaluation: {
    every: whole({ min: 0, max: MILLION }),
    k: whole({ min: 1, max: 100_000 }),
    temperature: real({ above: 0, max: 100 }),
    samples: wordOr('all', whole({ min: 1, max: Number.MAX_SAFE_INTEGER })),
    imageSize: wordOr('auto', whole({ min: 8, max: LARGEST_VIEW })),
  },
  checkpoint: {
    everyEpochs: whole({ min: 0, max: MILLION }),
    everySteps: whole({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    keep: whole({ min: 1, max: MILLION }),
  },
  logEverySteps: whole({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  maxPixels: whole({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  maxBytes: whole({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  background: colour,
}

/** The kinds only; whether a folder exists and what the samples hold is found on opening. */
function isDataInput(value: unknown): boolean {
  if (typeof value === 'string') return value !== '' && !value.includes('\0')
  if (Array.isArray(value)) return value.length > 0
  if (typeof value !== 'object' || value === null) return false
  const { open, path, length } = value as Record<string, unknown>
  return typeof open === 'function' || (typeof path === 'function' && typeof length === 'number')
}

function isAbortSignal(value: unknown): boolean {
  // By shape: signals of another realm or a polyfill are as good.
  if (typeof value !== 'object' || value === null) return false
  const { aborted, addEventListener } = value as Record<string, unknown>
  return typeof aborted === 'boolean' && typeof addEventListener === 'function'
}
