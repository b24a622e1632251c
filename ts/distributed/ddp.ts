/** Data parallel for the hand-written loop, with PyTorch's names. */

import { NnclrError } from '../errors.js'
import { type NativeReducer, native } from '../native.js'
import { NativeLayer } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { called, isRecording, siteOf, Tensor, withoutAwait } from '../tensor.js'
import { getProcessGroup, type ProcessGroup } from './process-group.js'

/** A module with a forward pass of its own kind. */
type WithForward = Module & { forward(...inputs: never[]): unknown }

/**
 * `torch.nn.parallel.DistributedDataParallel`: the module of every rank trains as one. At the
 * construction all ranks take rank 0's parameters and buffers. From then on the backward pass of a loss
 * that was made from `forward`'s outputs leaves the mean of all ranks' gradients in the parameters;
 * reducing them runs while the rest of the backward pass still computes. `grad` is then a view of the
 * memory they are reduced in, which the next backward pass overwrites (PyTorch:
 * `gradient_as_bucket_view`).
 *
 * Every rank makes the same forward and backward calls. Wrap after `to`, `requiresGrad_` and
 * `convertSyncBatchNorm`. Names in the state dictionary begin with `module.`, as PyTorch's.
 *
 * Running statistics are each rank's own unless `convertSyncBatchNorm` made them common; PyTorch hands
 * out rank 0's before each forward pass, here `broadcastBuffers` does when asked.
 */
export class DistributedDataParallel<M extends WithForward> extends Module implements Disposable {
  /** The wrapped module. Its own `forward` takes no part in the reduction. */
  readonly module: M
  readonly #group: ProcessGroup
  readonly #reducer: NativeReducer
  /** Depth of `noSync` calls under way. */
  #syncOff = 0

  /**
   * Collective.
   *
   * @param options.processGroup @default the default group
   * @throws NnclrError CONFIG for a module without parameters or no group; what differs between the
   * ranks' parameters is DISTRIBUTED, naming it, at the next await.
   */
  constructor(module: M, { processGroup }: { processGroup?: ProcessGroup } = {}) {
    super()
    const group = processGroup ?? getProcessGroup()
    const parameters = module.namedParameters()
    if (parameters.length === 0) {
      const expected = 'a module with parameters'
      throw NnclrError.config([{ field: 'module', value: module.constructor.name, expected }])
    }
    this.module = module
    this.#group = group
    this.#reducer = called(
      () =>
        new native.NativeReducer(
          siteOf('DistributedDataParallel'),
          group.handle,
          parameters.map(([, { handle }]) => handle),
          this.#buffers().map(({ handle }) => handle),
          parameters.map(([name]) => name),
        ),
    )
  }

  /** The module's forward pass. */
  forward(...inputs: Parameters<M['forward']>): ReturnType<M['forward']> {
    const outputs = this.module.forward(...inputs) as ReturnType<M['forward']>
    // As in PyTorch the forward pass decides whether the backward pass reduces.
    if (this.#syncOff === 0 && isRecording()) {
      // What is handed through unchanged was not computed here, and is the caller's.
      const given = new Set(tensorsIn(inputs))
      for (const tensor of tensorsIn(outputs)) {
        if (!given.has(tensor)) tensor.reducers = new Set([...tensor.reducers, this.#reducer])
      }
    }
    return outputs
  }

  /**
   * Runs `work`, forward and backward passes in it, without reducing gradients: they add up on each
   * rank, and the next backward pass outside reduces their sum.
   *
   * @throws NnclrError CONFIG when `work` returns a promise: calls after its first await would not be
   * covered.
   */
  noSync<T>(work: () => T): T {
    this.#syncOff += 1
    try {
      return withoutAwait('noSync', work)
    } finally {
      this.#syncOff -= 1
    }
  }

  /** Gives all ranks rank 0's running statistics. Collective. */
  broadcastBuffers(): void {
    for (const buffer of this.#buffers()) this.#group.broadcast(buffer)
  }

  /** @throws NnclrError CONFIG always: the reducer knows the parameters where they are. */
  override to(): never {
    const expected = 'module.to() before DistributedDataParallel'
    throw NnclrError.config([{ field: 'to', value: 'a wrapped module', expected }])
  }

  /** Ends the reducing; the module stays usable. */
  dispose(): void {
    this.#reducer.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #buffers(): Tensor[] {
    const trained = new Set(this.module.namedParameters().map(([name]) => name))
    const all = [...this.module.stateDict()]
    return all.filter(([name]) => !trained.has(name)).map(([, tensor]) => tensor)
  }
}

/** The tensors of a value: itself, those of arrays and of objects, which may hold themselves. */
function* tensorsIn(value: unknown, seen: Set<object> = new Set()): Generator<Tensor, void, void> {
  if (typeof value !== 'object' || value === null || seen.has(value)) return
  seen.add(value)
  if (value instanceof Tensor) yield value
  // Numbers hold none, and may be very many.
  else if (!ArrayBuffer.isView(value)) {
    for (const part of Object.values(value)) yield* tensorsIn(part, seen)
  }
}

/**
 * `torch.nn.SyncBatchNorm.convert_sync_batchnorm`: from now on every batch norm below takes its
 * statistics over the rows of all ranks while training. Call it before wrapping.
 *
 * @param options.processGroup @default the default group
 * @returns the module itself.
 */
export function convertSyncBatchNorm<M extends Module>(
  module: M,
  { processGroup }: { processGroup?: ProcessGroup } = {},
): M {
  const group = processGroup ?? getProcessGroup()
  if (module instanceof NativeLayer) module.synchronise(group)
  for (const [, child] of module.namedChildren()) {
    convertSyncBatchNorm(child, { processGroup: group })
  }
  return module
}
