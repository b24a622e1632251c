/**
 * What each field of the configuration is for, in the order `nnclr train --help` shows them. Ranges
 * and defaults are not here: they come from `configFields()` and the presets. A test keeps the list
 * complete.
 */

/** Fields of one theme. */
export interface FieldGroup {
  readonly title: string
  /** Field path, groups with a dot, to its meaning. */
  readonly words: Readonly<Record<string, string>>
}

/** Fields that only a program can give. */
export const PROGRAM_ONLY: ReadonlySet<string> = new Set(['signal'])

/** All fields that are flags. */
export const FIELD_GROUPS: readonly FieldGroup[] = [
  {
    title: 'Data and run',
    words: {
      data: 'training pictures: a folder, searched to its depth; sub-folders are classes',
      out: 'run directory: settings, metrics, checkpoints, exported backbone',
      validation: 'pictures for the kNN score: a folder, or the share of data to hold back',
      preset: 'where every setting that is not given comes from',
      weights: 'backbone weights to start from, a safetensors file',
      resume: 'go on from the newest checkpoint in --out',
      overwrite: 'remove what an earlier run wrote to --out',
      seed: 'seed of everything random; equal seeds give equal runs',
      subset: 'share of the training pictures to use',
    },
  },
  {
    title: 'Network',
    words: {
      imageSize: 'side of a view in pixels',
      backbone: 'network whose features are learned',
      stem: "its first layers; 'imagenet' for large pictures, the others for small ones",
      'projectionHead.hidden': 'width of the projection head',
      'projectionHead.out': 'width of the embedding that the bank holds',
      'predictionHead.hidden': 'width of the prediction head',
    },
  },
  {
    title: 'Method',
    words: {
      'memoryBank.size': 'number of past embeddings in which the neighbour is looked up',
      'memoryBank.warmup': 'start with random rows, or look only at rows that are filled',
      neighbours: "positive from the bank; 'none' (SimCLR) and 'random' are controls",
      neighbourWarmup:
        "share of all steps, at the start, without neighbours; 'auto': until they agree",
      neighbourWeight: "share of the loss that the neighbour has; the rest is the other view's",
      viewLoss: "the other view's: 'simclr' through both z, 'predicted' through p alone",
      loss: "'nt-xent' has 2N-1 negatives, 'paper' is N-way (equation 2)",
      temperature: 'temperature of the loss',
    },
  },
  {
    title: 'Optimisation',
    words: {
      epochs: 'passes over the pictures',
      batchSize:
        "pictures a step, of all ranks together; 'auto' is 256, or the whole set when it is smaller",
      optimizer: 'update rule',
      lr: "peak learning rate; 'auto' is --base-lr x batch size / 256",
      baseLr: 'learning rate for 256 pictures a step',
      schedule: 'course of the rate after the warm-up',
      lrEnd: 'learning rate at the end of the cosine',
      warmupEpochs: 'epochs of linear warm-up, at most a tenth of --epochs unless given',
      warmupStart: 'learning rate at the first step of the warm-up',
      momentum: 'momentum of SGD, LARS and Muon',
      weightDecay: 'weight decay',
      nesterov: 'Nesterov momentum',
      dropLast: "leave out an epoch's last, smaller batch",
    },
  },
  {
    title: 'Augmentation',
    words: {
      'transform.cropScale': 'area of the crop as a share of the picture: least,most',
      'transform.cropRatio': 'width / height of the crop: least,most',
      'transform.horizontalFlip': 'probability of a left-right flip',
      'transform.verticalFlip': 'probability of an upside-down flip',
      'transform.rotation': 'probability of a rotation',
      'transform.rotationDegrees': 'most degrees to either side; null is 90 exactly',
      'transform.jitter': 'probability of colour jitter',
      'transform.jitterStrength': 'factor on the four jitters below',
      'transform.brightness': 'brightness jitter',
      'transform.contrast': 'contrast jitter',
      'transform.saturation': 'saturation jitter',
      'transform.hue': 'hue jitter, of a full turn',
      'transform.grayscale': 'probability of a grey view',
      'transform.blur': 'probability of a Gaussian blur',
      'transform.blurSigma': 'standard deviation of the blur in pixels: least,most',
    },
  },
  {
    title: 'Evaluation, checkpoints, log',
    words: {
      'evaluation.every': 'epochs from one kNN score to the next; 0 is never',
      'evaluation.k': 'neighbours that vote',
      'evaluation.temperature': "temperature of the votes' weights",
      'evaluation.samples': 'most training pictures to compare with',
      'evaluation.imageSize':
        "side at which pictures are compared, and embedded later; 'auto' is --image-size",
      'checkpoint.everyEpochs': 'epochs from one checkpoint to the next; 0 is only at the end',
      'checkpoint.everySteps': 'steps from one checkpoint to the next, besides; 0 is never',
      'checkpoint.keep': 'how many of the newest stay',
      logEverySteps: 'steps from one line of metrics.jsonl to the next',
    },
  },
  {
    title: 'Several ranks',
    words: {
      devices:
        "processes that train together, on a GPU each or a share of the cores; 'auto' is what a launcher (torchrun, Slurm, nnclr launch) has started, else one",
      syncBatchNorm: 'batch normalisation by the statistics of all ranks',
      gatherNegatives: 'negatives from all ranks, with gradient',
      'distributed.timeoutSeconds': 'longest wait for the other ranks within a step',
      'distributed.joinTimeoutSeconds': 'longest wait for all ranks at the start',
      'distributed.networkInterface':
        "the ranks' connections on the CPU; null is GLOO_SOCKET_IFNAME, else the one that leads to rank 0",
      'distributed.checkEverySteps':
        "steps from one comparison of the ranks' memory banks to the next; 0 is never",
    },
  },
  {
    title: 'Machine and pictures',
    words: {
      device: "where to compute; 'auto' takes CUDA when it is usable",
      precision: "arithmetic; 'auto' is bf16 where the device has it",
      threads: 'threads of the mathematics, in each rank',
      workers: 'threads that read and augment pictures, in each rank; never changes a result',
      cacheBytes: 'memory for decoded pictures, bytes, in each rank',
      onBadImage: 'an unreadable picture stops the run, or is listed and replaced',
      maxBadShare: 'share of unreadable pictures above which the run stops',
      maxPixels: 'largest picture, pixels',
      maxBytes: 'largest picture file, bytes',
      background: 'colour under transparent pictures: red,green,blue',
    },
  },
]
