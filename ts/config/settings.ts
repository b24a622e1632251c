/**
 * The settings of a training run: every field, complete, with its meaning and range. Defaults are
 * those of preset `'default'`; what a preset holds stands in `presets.ts`.
 */

import type { TransformSettings } from './transform-settings.js'

/** Network whose features are learned; `resnet10` has one basic block a stage. */
export type BackboneName =
  | 'resnet10'
  | 'resnet18'
  | 'resnet34'
  | 'resnet50'
  | 'resnet101'
  | 'resnet152'

/** First layers: torchvision's (7x7 stride 2, max-pool), 3x3 stride 1, or 3x3 stride 2. */
export type StemName = 'imagenet' | 'cifar' | 'small'

/** The head that maps features to the embedding the bank holds. */
export interface ProjectionHeadSettings {
  /**
   * Width of the two hidden layers. @default 512. Range 1 to 65536. solo-learn: `proj_hidden_dim`.
   */
  hidden: number
  /** Width of the embedding. @default 128. Range 1 to 65536. solo-learn: `proj_output_dim`. */
  out: number
}

/** The head that maps one view's embedding to the other view's neighbour. */
export interface PredictionHeadSettings {
  /** Width of the hidden layer. @default 512. Range 1 to 65536. solo-learn: `pred_hidden_dim`. */
  hidden: number
}

/** The support set: embeddings of past pictures, in which the neighbour is looked up. */
export interface MemoryBankSettings {
  /**
   * Number of embeddings. `'auto'` is 16,384 or half the set, whichever is less, so that a picture
   * seldom meets its own older embedding. @default 'auto'. Range 1 to 16,777,216.
   * lightly: `NNMemoryBankModule(size)`; solo-learn: `queue_size`.
   */
  size: number | 'auto'
  /**
   * What stands in the bank at start: `'random'` unit rows, as the references, or nothing
   * (`'fill'`: only rows that were written are looked up). @default 'fill'.
   */
  warmup: 'random' | 'fill'
}

/** kNN classification of the validation pictures by backbone features. */
export interface EvaluationSettings {
  /** Epochs from one evaluation to the next; 0 is never. @default 1. solo-learn: `knn_eval`. */
  every: number
  /** Neighbours that vote. @default 200. Range 1 to 100,000. lightly: `knn_k`. */
  k: number
  /** Temperature of the vote's weights. @default 0.1. Above 0. lightly: `knn_t`. */
  temperature: number
  /** Most training pictures to compare with, or `'all'`. @default 10000. */
  samples: number | 'all'
  /**
   * Side at which pictures are compared, pixels, and the one that `embed` and `knn` take when they open
   * the run; `'auto'` is `imageSize`. Views are enlarged crops: a little above the views' side things
   * have the size that the network has learned (arXiv 1906.06423). @default 'auto'. From the network's
   * total stride to 4096. No counterpart in the references (`imageSize`).
   */
  imageSize: number | 'auto'
}

/** When checkpoints are written and how many stay. One is always written at the end. */
export interface CheckpointSettings {
  /** Epochs from one to the next; 0 is never. @default 1. solo-learn: `checkpoint.frequency`. */
  everyEpochs: number
  /** Steps from one to the next, besides those of `everyEpochs`; 0 is never. @default 0. */
  everySteps: number
  /** How many of the newest are kept. @default 2. Range 1 to 1,000,000. solo-learn: `keep_prev`. */
  keep: number
}

/** Training on several ranks; without effect in a run of one process. */
export interface DistributedSettings {
  /**
   * Longest wait for the other ranks within a step, seconds. A rank that hangs ends the run after it.
   * @default 600. From 1 to 86,400. torch: `init_process_group(timeout)`.
   */
  timeoutSeconds: number
  /** Longest wait for all ranks at the start, seconds. @default 300. From 1 to 86,400. */
  joinTimeoutSeconds: number
  /**
   * Network interface of the ranks' connections on the CPU, for example `eth0`. @default null:
   * `GLOO_SOCKET_IFNAME`, else the one that leads to rank 0.
   */
  networkInterface: string | null
  /**
   * Steps from one comparison of the ranks' memory banks to the next; 0 is never. They are equal bit
   * by bit: another bank is a fault of memory or network. @default 100.
   */
  checkEverySteps: number
}

/** Every setting that a preset fills in. */
export interface Settings {
  /**
   * Passes over the training pictures. @default 20. Range 1 to 1,000,000. solo-learn: `max_epochs`.
   */
  epochs: number
  /**
   * Pictures a step, of all ranks together. `'auto'` is 256, or the whole set when it is smaller.
   * @default 'auto'.
   * Range 2 to 1,048,576 (batch normalisation needs two). lightly, solo-learn: `batch_size`.
   */
  batchSize: number | 'auto'
  /**
   * Side of a view, pixels. @default 32. From the network's total stride (imagenet stem 32, small
   * 16, cifar 8) to 4096. lightly: `input_size`; solo-learn: `crop_size`.
   */
  imageSize: number
  /** The network. @default 'resnet10'. solo-learn: `backbone.name`. */
  backbone: BackboneName
  /** The network's first layers. @default 'small'. solo-learn takes 'cifar' for small pictures. */
  stem: StemName
  /** Projection head. */
  projectionHead: ProjectionHeadSettings
  /** Prediction head. */
  predictionHead: PredictionHeadSettings
  /** Support set. */
  memoryBank: MemoryBankSettings
  /**
   * Where the positive comes from: the bank (NNCLR), nowhere (`'none'`: the other view,
   * SimCLR), or a random row of the bank (a control). @default 'bank'.
   */
  neighbours: 'bank' | 'none' | 'random'
  /**
   * Share of all steps at the start in which the other view itself is the positive: early
   * neighbours are mostly of another class. `'auto'` ends it when the neighbours of a picture's two
   * views agree, at half of the steps at the latest. @default 0.5. Range 0 to 1. No counterpart in
   * the references (0).
   */
  neighbourWarmup: number | 'auto'
  /**
   * Share of the loss that the neighbour (or random row) has while it is the positive; the rest is
   * the other view's. At 1 the neighbour alone, as in the paper. Without effect during
   * `neighbourWarmup` and with `neighbours: 'none'`. @default 0.5. Range 0 to 1. No counterpart in
   * the references (1).
   */
  neighbourWeight: number
  /**
   * The loss where the other view is the positive: in `neighbourWarmup`, before the bank holds a row,
   * for its share beside the neighbour's, and with `neighbours: 'none'`. `'simclr'` pulls the two z
   * together without the prediction head, gradient through both, as SimCLR does (arXiv 2002.05709; its
   * very loss with `loss: 'nt-xent'`). `'predicted'` pulls p to the other view's z as to a neighbour,
   * gradient through p alone. @default 'simclr'. No counterpart in the references ('predicted').
   */
  viewLoss: 'simclr' | 'predicted'
  /**
   * `'nt-xent'` has 2N-1 negatives (lightly's `NTXentLoss`), `'paper'` is N-way (equation 2;
   * solo-learn's `nnclr_loss_func`). @default 'paper'.
   */
  loss: 'nt-xent' | 'paper'
  /** Temperature of the loss. @default 0.2. Above 0, at most 100. Both: `temperature`. */
  temperature: number
  /**
   * Update rule; `'muon'` is Muon on the convolutions but the first, and AdamW at a twentieth of
   * `lr` on the rest. @default 'muon'. solo-learn: `optimizer.name`.
   */
  optimizer: 'sgd' | 'lars' | 'adamw' | 'muon'
  /**
   * Peak learning rate as applied. `'auto'` is `baseLr * batchSize / 256`. @default 'auto'.
   * Above 0, at most 1000. torch: `lr`.
   */
  lr: number | 'auto'
  /**
   * Learning rate for 256 pictures a step, scaled with `batchSize` when `lr` is `'auto'`. @default
   * 0.04, for Muon; SGD wants about 0.06, AdamW 0.001.
   */
  baseLr: number
  /** Course of the rate after warm-up: cosine down to `lrEnd`, or constant. @default 'cosine'. */
  schedule: 'cosine' | 'constant'
  /**
   * Learning rate at the end of the cosine; without effect when constant. @default 0. At most `lr`.
   */
  lrEnd: number
  /**
   * Epochs of linear warm-up, fractions allowed. When it is not given, the preset's, but at most a
   * tenth of `epochs`. @default 1. Range 0 to `epochs`. solo-learn: `warmup_epochs`.
   */
  warmupEpochs: number
  /**
   * Learning rate at the first step of the warm-up. @default 0. At most `lr`. solo-learn:
   * `warmup_start_lr`.
   */
  warmupStart: number
  /**
   * Momentum of SGD, LARS and Muon; AdamW has its own. @default 0.9. From 0 to below 1. torch: `momentum`.
   */
  momentum: number
  /**
   * Weight decay; on biases and norms with SGD alone. @default 5e-4. Range 0 to 10. torch:
   * `weight_decay`.
   */
  weightDecay: number
  /** Nesterov momentum, SGD only. @default false. torch: `nesterov`. */
  nesterov: boolean
  /**
   * Arithmetic of convolutions and products; `'auto'` is bf16 where the device has it. @default
   * 'auto'.
   */
  precision: 'auto' | 'fp32' | 'bf16'
  /** `'auto'`, `'cpu'`, `'cuda'` or `'cuda:N'`. @default 'auto': CUDA when it is usable. */
  device: string
  /**
   * Processes that train together, a GPU each or a share of the processor's cores. More than one are
   * started by `train` itself, unless a launcher (torchrun, Slurm, ...) has started this process as one
   * of its ranks; then it joins them. @default 'auto': the launcher's ranks, else one. Range 1 to
   * 1024. Lightning: `devices`.
   */
  devices: number | 'auto'
  /**
   * Batch normalisation by the statistics of all ranks, as one process has them. @default true.
   * Without effect on one rank. Lightning: `sync_batchnorm`.
   */
  syncBatchNorm: boolean
  /**
   * Negatives from all ranks, with gradient, as one process has them. @default true. Without effect
   * on one rank. lightly: `gather_distributed`.
   */
  gatherNegatives: boolean
  /** Training on several ranks. */
  distributed: DistributedSettings
  /**
   * Threads of the mathematics, in each rank. @default 'auto': the cores shared among the ranks of this
   * machine. Range 1 to 1024. torch: `set_num_threads`.
   */
  threads: number | 'auto'
  /**
   * Threads that read and augment pictures, in each rank; never changes a result. @default 'auto'.
   * Range 1 to 1024. Both: `num_workers`.
   */
  workers: number | 'auto'
  /** Memory for decoded pictures, bytes, in each rank. @default 1 GiB. 0 turns the cache off. */
  cacheBytes: number
  /**
   * Seed of everything random. @default 0. A whole number from 0 to 2^53-1. lightly:
   * `seed_everything`.
   */
  seed: number
  /**
   * Share of the training pictures to use. @default 1. Above 0, at most 1. solo-learn:
   * `data.fraction`.
   */
  subset: number
  /** Leave out an epoch's last, smaller batch. @default true. torch: `drop_last`. */
  dropLast: boolean
  /** What an unreadable picture does: stop the run, or be listed and replaced. @default 'skip'. */
  onBadImage: 'error' | 'skip'
  /** Share of unreadable pictures above which the run stops. @default 0.01. Range 0 to 1. */
  maxBadShare: number
  /** Augmentation of the views. */
  transform: TransformSettings
  /** kNN evaluation. */
  evaluation: EvaluationSettings
  /** Checkpoints. */
  checkpoint: CheckpointSettings
  /** Steps from one `step` event and line in metrics.jsonl to the next. @default 10. At least 1. */
  logEverySteps: number
  /** Largest picture, pixels. @default 100,000,000. */
  maxPixels: number
  /** Largest picture file, bytes. @default 512 MiB. */
  maxBytes: number
  /** Colour under transparent pictures, red green blue 0 to 255. @default white. */
  background: [number, number, number]
}

/** The settings that are objects themselves. */
export type SettingsGroup =
  | 'projectionHead'
  | 'predictionHead'
  | 'memoryBank'
  | 'transform'
  | 'evaluation'
  | 'checkpoint'
  | 'distributed'
