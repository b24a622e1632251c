/** The built-in modules, with torchvision's and lightly's names. */

import { defaultGroup, type ProcessGroup } from '../distributed/process-group.js'
import { NnclrError } from '../errors.js'
import { type NativeMemoryBank, type NativeModule, native } from '../native.js'
import { apply, called, reducersOf, siteOf, Tensor } from '../tensor.js'
import { Module } from './module.js'

/** A module whose tensors and forward pass are native. */
export abstract class NativeLayer extends Module {
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
    const y = called(() => this.#native.forward(site, x.handle, this.training))
    return new Tensor(y, reducersOf([x]))
  }

  /** Batch norms take the statistics of all ranks from now on: `convertSyncBatchNorm`. @internal */
  synchronise(group: ProcessGroup): void {
    called(() => this.#native.synchronise(siteOf('convertSyncBatchNorm'), group.handle))
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
  /** Whether updates take the rows of all ranks. */
  readonly gatherDistributed: boolean

  /**
   * @param options.size Rows and their length.
   * @param options.gatherDistributed Whether an update takes the rows of all ranks, in rank order, so
   * that equal banks stay equal (lightly's `MemoryBankModule` has it, its `NNMemoryBankModule` not).
   * Without a process group it changes nothing. @default false
   */
  constructor({
    size: [rows, dim],
    seed = 0,
    dtype = 'float32',
    gatherDistributed = false,
  }: {
    size: readonly [number, number]
    seed?: number
    dtype?: 'float32' | 'float64'
    gatherDistributed?: boolean
  }) {
    super()
    if (!(Number.isInteger(rows) && Number.isInteger(dim) && rows > 0 && dim > 0)) {
      const expected = 'two whole numbers above 0: rows and their length'
      throw NnclrError.config([{ field: 'size', value: `[${rows}, ${dim}]`, expected }])
    }
    this.gatherDistributed = gatherDistributed
    this.#native = called(() => new native.NativeMemoryBank(rows, dim, seed, dtype))
  }

  /**
   * The nearest row, of unit length, for each z `[N, D]`. With `update` the bank takes z after the
   * look-up. No gradient flows through either.
   */
  forward(z: Tensor, { update = false }: { update?: boolean } = {}): Tensor {
    const site = { ...siteOf('NNMemoryBankModule.forward'), grad: false }
    const group = this.gatherDistributed ? otherRanks() : undefined
    return new Tensor(called(() => this.#native.forward(site, z.handle, update, group?.handle)))
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
  /** Whether the rows of all ranks are negatives. */
  readonly gatherDistributed: boolean

  /**
   * @param options.temperature @default 0.5, as lightly
   * @param options.form @default 'nt-xent', as lightly
   * @param options.gatherDistributed Whether the rows of all ranks are negatives, gradients included;
   * the mean of the ranks' losses is then that of the whole batch. Without a process group it changes
   * nothing. @default false, as lightly
   */
  constructor({
    temperature = 0.5,
    form = 'nt-xent',
    gatherDistributed = false,
  }: { temperature?: number; form?: 'nt-xent' | 'paper'; gatherDistributed?: boolean } = {}) {
    this.temperature = temperature
    this.form = form
    this.gatherDistributed = gatherDistributed
  }

  /** Mean loss of positives and predictions, both `[N, D]`, of any length. */
  forward(positives: Tensor, predictions: Tensor): Tensor {
    const { temperature: number, form: word } = this
    const group = this.gatherDistributed ? otherRanks() : undefined
    if (group !== undefined) {
      const site = siteOf('loss')
      const [p, q] = [positives.handle, predictions.handle]
      const loss = called(() => group.handle.loss(site, p, q, word, number))
      return new Tensor(loss, reducersOf([positives, predictions]))
    }
    return apply('loss', [positives, predictions], { number, word })
  }
}

/** The default group where it has other ranks. */
function otherRanks(): ProcessGroup | undefined {
  const group = defaultGroup()
  return group !== null && group.worldSize > 1 ? group : undefined
}
