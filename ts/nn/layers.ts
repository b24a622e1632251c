/** The built-in modules, with torchvision's and lightly's names. */

import { NnclrError } from '../errors.js'
import { type NativeMemoryBank, type NativeModule, native } from '../native.js'
import { apply, called, siteOf, Tensor } from '../tensor.js'
import { Module } from './module.js'

/** A module whose tensors and forward pass are native. */
abstract class NativeLayer extends Module {
  readonly #native: NativeModule

  constructor(make: () => NativeModule) {
    super()
    this.#native = called(make)
  }

  /** Length of an output row. */
  get outFeatures(): number {
    return this.#native.outputs
  }

  /** Queues the forward pass. @throws NnclrError SHAPE for an input that does not fit. */
  forward(x: Tensor): Tensor {
    const site = siteOf(`${this.constructor.name}.forward`)
    return new Tensor(called(() => this.#native.forward(site, x.handle, this.training)))
  }

  protected override ownTensors(): { name: string; tensor: Tensor; trainable: boolean }[] {
    return this.#native.entries.map(({ name, trainable }, index) => ({
      name,
      trainable,
      tensor: new Tensor(this.#native.tensor(index)),
    }))
  }

  protected override moved(device: string, dtype: string): void {
    called(() => this.#native.convert(siteOf('to'), device, dtype))
  }
}

/** Options of a backbone. */
export interface ResNetOptions {
  /** The first layers: torchvision's, 3x3 stride 1, or 3x3 stride 2. @default 'imagenet' */
  readonly stem?: 'imagenet' | 'cifar' | 'small'
  /** Decides the initial weights. @default 0 */
  readonly seed?: number
}

/** torchvision's ResNet without its last layer: pictures `[N, 3, H, W]` to features `[N, D]`. */
export class ResNet extends NativeLayer {
  /** `resnet18()` and its siblings are the usual way. */
  constructor(arch: string, { stem = 'imagenet', seed = 0 }: ResNetOptions = {}) {
    super(() => native.NativeModule.resnet(arch, stem, seed))
  }
}

/** One basic block a stage; 512 features. */
export const resnet10 = (options?: ResNetOptions): ResNet => new ResNet('resnet10', options)
/** 512 features. */
export const resnet18 = (options?: ResNetOptions): ResNet => new ResNet('resnet18', options)
/** 512 features. */
export const resnet34 = (options?: ResNetOptions): ResNet => new ResNet('resnet34', options)
/** 2048 features. */
export const resnet50 = (options?: ResNetOptions): ResNet => new ResNet('resnet50', options)
/** 2048 features. */
export const resnet101 = (options?: ResNetOptions): ResNet => new ResNet('resnet101', options)
/** 2048 features. */
export const resnet152 = (options?: ResNetOptions): ResNet => new ResNet('resnet152', options)

/** Three linear layers, batch norm after each (`lightly.models.modules.NNCLRProjectionHead`). */
export class NNCLRProjectionHead extends NativeLayer {
  constructor(
    inputDim: number = 2048,
    hiddenDim: number = 2048,
    outputDim: number = 256,
    { seed = 0 }: { seed?: number } = {},
  ) {
    super(() => native.NativeModule.projectionHead(inputDim, hiddenDim, outputDim, seed))
  }
}

/** Two linear layers, batch norm between (`lightly.models.modules.NNCLRPredictionHead`). */
export class NNCLRPredictionHead extends NativeLayer {
  constructor(
    inputDim: number = 256,
    hiddenDim: number = 4096,
    outputDim: number = 256,
    { seed = 0 }: { seed?: number } = {},
  ) {
    super(() => native.NativeModule.predictionHead(inputDim, hiddenDim, outputDim, seed))
  }
}

/**
 * The memory bank (`lightly.models.modules.NNMemoryBankModule`): a true ring of unit rows, random at
 * the start. Part of the state dictionary is nothing: rows are read and set with `rows`.
 */
export class NNMemoryBankModule extends Module {
  readonly #native: NativeMemoryBank

  /** @param options.size Rows and their length. */
  constructor({
    size: [rows, dim],
    seed = 0,
    dtype = 'float32',
  }: {
    size: readonly [number, number]
    seed?: number
    dtype?: 'float32' | 'float64'
  }) {
    super()
    if (!(Number.isInteger(rows) && Number.isInteger(dim) && rows > 0 && dim > 0)) {
      const expected = 'two whole numbers above 0: rows and their length'
      throw NnclrError.config([{ field: 'size', value: `[${rows}, ${dim}]`, expected }])
    }
    this.#native = called(() => new native.NativeMemoryBank(rows, dim, seed, dtype))
  }

  /**
   * The nearest row, of unit length, for each z `[N, D]`. With `update` the bank takes z after the
   * look-up. No gradient flows through either.
   */
  forward(z: Tensor, { update = false }: { update?: boolean } = {}): Tensor {
    const site = { ...siteOf('NNMemoryBankModule.forward'), grad: false }
    return new Tensor(called(() => this.#native.forward(site, z.handle, update)))
  }

  /** A copy of the rows `[size, D]`. */
  get rows(): Tensor {
    return new Tensor(called(() => this.#native.rows(siteOf('rows'))))
  }

  /** Replaces the rows; they are made unit length. */
  setRows(rows: Tensor): void {
    called(() => this.#native.setRows(siteOf('setRows'), rows.handle))
  }

  protected override moved(device: string, dtype: string): void {
    called(() => this.#native.convert(device, dtype))
  }
}

/** The contrastive loss (`lightly.loss.NTXentLoss`). */
export class NTXentLoss {
  /** Divides the similarities. */
  readonly temperature: number
  /** `nt-xent`: each row against the 2N - 1 others; `paper`: equation 2, N-way. */
  readonly form: 'nt-xent' | 'paper'

  /** @default temperature 0.5, as lightly */
  constructor({
    temperature = 0.5,
    form = 'nt-xent',
  }: { temperature?: number; form?: 'nt-xent' | 'paper' } = {}) {
    this.temperature = temperature
    this.form = form
  }

  /** Mean loss of positives and predictions, both `[N, D]`, of any length. */
  forward(positives: Tensor, predictions: Tensor): Tensor {
    const { temperature: number, form: word } = this
    return apply('loss', [positives, predictions], { number, word })
  }
}
