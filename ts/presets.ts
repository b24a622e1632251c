/**
 * Named, complete sets of settings. `'default'` is for people on a few CPU cores; the others are
 * for comparison with their namesakes. A field that a namesake does not have holds the value that
 * makes it do nothing, and says so.
 */

import type { Settings } from './config/settings.js'
import type { TransformSettings } from './config/transform-settings.js'

/** A preset's name. */
export type PresetName = 'default' | 'lightly' | 'paper' | 'solo-learn'

/** What no recipe speaks of: limits, logging, machine. The same in all presets. */
const COMMON = {
  neighbours: 'bank',
  schedule: 'cosine',
  lrEnd: 0,
  warmupStart: 0,
  nesterov: false,
  precision: 'auto',
  device: 'auto',
  devices: 'auto',
  syncBatchNorm: true,
  gatherNegatives: true,
  distributed: {
    timeoutSeconds: 600,
    joinTimeoutSeconds: 300,
    networkInterface: null,
    checkEverySteps: 100,
  },
  threads: 'auto',
  workers: 'auto',
  cacheBytes: 2 ** 30,
  seed: 0,
  subset: 1,
  dropLast: true,
  onBadImage: 'skip',
  maxBadShare: 0.01,
  // One evaluation compares with few enough pictures to cost less than the epoch it follows.
  evaluation: { every: 1, k: 200, temperature: 0.1, samples: 10_000, imageSize: 'auto' },
  checkpoint: { everyEpochs: 1, everySteps: 0, keep: 2 },
  logEverySteps: 10,
  maxPixels: 100_000_000,
  maxBytes: 512 * 2 ** 20,
  background: [255, 255, 255],
} satisfies Partial<Settings>

/** `SimCLRTransform()` of lightly 1.6, argument by argument; crop ratio as torchvision. */
const SIMCLR_TRANSFORM: TransformSettings = {
  cropScale: [0.08, 1],
  cropRatio: [3 / 4, 4 / 3],
  horizontalFlip: 0.5,
  verticalFlip: 0,
  rotation: 0,
  rotationDegrees: null,
  jitter: 0.8,
  jitterStrength: 1,
  brightness: 0.8,
  contrast: 0.8,
  saturation: 0.8,
  hue: 0.2,
  grayscale: 0.2,
  blur: 0.5,
  blurSigma: [0.1, 2],
}

/**
 * Small pictures, small network, gentle augmentation: what learned fastest in trials on two cores.
 * There, strong jitter with small crops cost 3 points of kNN, ResNet-18 in place of ResNet-10 cost
 * 5, and neighbours from the first step on cost 5.
 */
const DEFAULT: Settings = {
  ...COMMON,
  epochs: 20,
  // At most 256, fewer for a set that is smaller.
  batchSize: 'auto',
  imageSize: 32,
  backbone: 'resnet10',
  // Keeps 16x16 maps where torchvision's stem leaves 8x8, at a quarter of the cifar stem's cost.
  stem: 'small',
  // Heads as lightly sizes them for 512 features.
  projectionHead: { hidden: 512, out: 128 },
  predictionHead: { hidden: 512 },
  // Trials saw no difference between 4k and 65k.
  memoryBank: { size: 'auto', warmup: 'fill' },
  neighbourWarmup: 0.5,
  // The other view keeps half of the loss, being right where the neighbour isn't: docs/recipes.md.
  neighbourWeight: 0.5,
  // Ahead of 'predicted' by one to five points in trials of 190 steps: docs/log.md.
  viewLoss: 'simclr',
  loss: 'paper',
  temperature: 0.2,
  // Five points ahead of SGD at 0.06 after 190 steps, three in other trials: docs/log.md.
  optimizer: 'muon',
  lr: 'auto',
  baseLr: 0.04,
  warmupEpochs: 1,
  momentum: 0.9,
  weightDecay: 5e-4,
  transform: { ...SIMCLR_TRANSFORM, cropScale: [0.2, 1], jitterStrength: 0.5, blur: 0 },
}

/** lightly 1.6's example program (`examples/pytorch/nnclr.py`) on CIFAR-10, for equal numbers. */
const LIGHTLY: Settings = {
  ...COMMON,
  epochs: 10,
  batchSize: 256,
  imageSize: 32,
  backbone: 'resnet18',
  // The example takes torchvision's network as it is, also for 32 pixels.
  stem: 'imagenet',
  projectionHead: { hidden: 512, out: 128 },
  predictionHead: { hidden: 512 },
  memoryBank: { size: 4096, warmup: 'random' },
  // lightly has no such things: neighbours from the first step, and they alone.
  neighbourWarmup: 0,
  neighbourWeight: 1,
  // The views are never the positives here.
  viewLoss: 'predicted',
  loss: 'nt-xent',
  temperature: 0.5,
  optimizer: 'sgd',
  // `SGD(lr=0.06)` and nothing else: no momentum, no decay, no schedule, no scaling.
  lr: 0.06,
  baseLr: 0.06,
  schedule: 'constant',
  warmupEpochs: 0,
  momentum: 0,
  weightDecay: 0,
  precision: 'fp32',
  transform: SIMCLR_TRANSFORM,
  // The published kNN numbers use all training pictures.
  evaluation: { ...COMMON.evaluation, samples: 'all' },
}

/** The paper (arXiv 2104.14548), section 4.1: ImageNet, ResNet-50, 1000 epochs. */
const PAPER: Settings = {
  ...COMMON,
  epochs: 1000,
  batchSize: 4096,
  imageSize: 224,
  backbone: 'resnet50',
  stem: 'imagenet',
  projectionHead: { hidden: 2048, out: 256 },
  predictionHead: { hidden: 4096 },
  memoryBank: { size: 98_304, warmup: 'random' },
  neighbourWarmup: 0,
  neighbourWeight: 1,
  viewLoss: 'predicted',
  loss: 'paper',
  temperature: 0.1,
  optimizer: 'lars',
  // 0.3 x batch / 256.
  lr: 'auto',
  baseLr: 0.3,
  warmupEpochs: 10,
  momentum: 0.9,
  weightDecay: 1e-6,
  // SimCLR's augmentation.
  transform: SIMCLR_TRANSFORM,
}

/**
 * solo-learn's `scripts/pretrain/cifar/nnclr.yaml`. Its second view is solarised with probability
 * 0.2, which has no counterpart here; its 16-bit arithmetic becomes `precision: 'auto'`.
 */
const SOLO_LEARN: Settings = {
  ...COMMON,
  epochs: 1000,
  batchSize: 256,
  imageSize: 32,
  backbone: 'resnet18',
  // solo-learn replaces the stem for CIFAR: 3x3, stride 1, no pool.
  stem: 'cifar',
  projectionHead: { hidden: 2048, out: 256 },
  predictionHead: { hidden: 4096 },
  memoryBank: { size: 65_536, warmup: 'random' },
  neighbourWarmup: 0,
  neighbourWeight: 1,
  viewLoss: 'predicted',
  loss: 'paper',
  temperature: 0.2,
  optimizer: 'lars',
  lr: 'auto',
  baseLr: 0.4,
  // `warmup_cosine`: 10 epochs from 3e-5, then to 0.
  warmupEpochs: 10,
  warmupStart: 3e-5,
  momentum: 0.9,
  weightDecay: 1e-5,
  // asymmetric.yaml gives the jitters as applied, so the factor is 1.
  transform: {
    ...SIMCLR_TRANSFORM,
    brightness: 0.4,
    contrast: 0.4,
    saturation: 0.2,
    hue: 0.1,
    blur: 0,
  },
}

/** All presets by name. */
export const presets: Readonly<Record<PresetName, Readonly<Settings>>> = {
  default: DEFAULT,
  lightly: LIGHTLY,
  paper: PAPER,
  'solo-learn': SOLO_LEARN,
}

/** The presets' names, the default first. */
export const PRESET_NAMES: readonly PresetName[] = ['default', 'lightly', 'paper', 'solo-learn']
