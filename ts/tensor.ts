/**
 * Tensors as handles. A call returns at once and runs in order on the native thread, as a CUDA stream
 * does in PyTorch; `await` is for numbers that come back. Shapes and dtypes are known at the call, so
 * a wrong one throws there. Not a tensor library: what a training loop passes between modules.
 */

import { fileURLToPath } from 'node:url'
import { NnclrError } from './errors.js'
import {
  type Batch,
  type CallSite,
  guarded,
  type NativeReducer,
  type NativeTensor,
  native,
} from './native.js'

/** Element types. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'int64'

/** Numbers that a tensor is made from; the kind of array decides the dtype. */
export type Numbers = Float32Array | Float64Array | BigInt64Array

/** Depth of `noGrad` calls under way. */
let gradOff = 0

/**
 * Runs `work` without recording gradients for the calls made in it. Synchronous, as the calls are.
 *
 * @throws NnclrError CONFIG when `work` returns a promise: calls after its first await would not be
 * covered.
 */
export function noGrad<T>(work: () => T): T {
  gradOff += 1
  try {
    return withoutAwait('noGrad', work)
  } finally {
    gradOff -= 1
  }
}

/** Whether calls made now record gradients. */
export function isRecording(): boolean {
  return gradOff === 0
}

/** Runs `work`. @throws NnclrError CONFIG when it returns a promise. */
export function withoutAwait<T>(name: string, work: () => T): T {
  const result = work()
  if (!(result instanceof Promise)) return result
  const expected = `a function that does not await: read numbers after ${name}`
  throw NnclrError.config([{ field: name, value: 'an async function', expected }])
}

/**
 * The data-parallel modules that a tensor was computed through. What is computed from tensors has the
 * reducers of all of them, so that a loss knows which gradients its backward pass must reduce.
 */
type Reducers = ReadonlySet<NativeReducer>

const NO_REDUCERS: Reducers = new Set()

/** The reducers of what is computed from `inputs`. */
export function reducersOf(inputs: readonly Tensor[]): Reducers {
  const found = inputs.filter(({ reducers }) => reducers.size > 0)
  if (found.length === 0 || !isRecording()) return NO_REDUCERS
  return new Set(found.flatMap(({ reducers }) => [...reducers]))
}

/** This module's folder, as stack frames name it: the first frame from elsewhere is the caller's. */
const OURS: readonly string[] = [
  new URL('.', import.meta.url).href,
  fileURLToPath(new URL('.', import.meta.url)),
]

/** Names a call and the place in the caller's code, for the error of something that fails later. */
export function siteOf(operation: string): CallSite {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, siteOf)
  const frames = holder.stack?.split('\n').slice(1) ?? []
  const isOurs = (frame: string): boolean => OURS.some((folder) => frame.includes(folder))
  const place = frames.find((frame) => !isOurs(frame) && !frame.includes('node:internal'))
  const where = place === undefined ? '' : `, called ${place.trim()}`
  return { operation: `${operation}${where}`, grad: gradOff === 0 }
}

/** Calls the native side; what it throws becomes an `NnclrError` with the caller's stack. */
export function called<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw NnclrError.from(error)
  }
}

/** A tensor whose value is computed on the native thread. */
export class Tensor implements Disposable {
  /** @internal */
  readonly handle: NativeTensor

  /** @internal */
  reducers: Reducers

  /** @internal */
  constructor(handle: NativeTensor, reducers: Reducers = NO_REDUCERS) {
    this.handle = handle
    this.reducers = reducers
  }

  /**
   * A tensor of `numbers`, row-major.
   *
   * @param options.requiresGrad Whether backward passes leave a gradient here. @default false
   * @throws NnclrError SHAPE when there are not as many numbers as `shape` holds.
   */
  static from(
    numbers: Numbers,
    shape: readonly number[] = [numbers.length],
    options: { requiresGrad?: boolean; device?: string } = {},
  ): Tensor {
    const { requiresGrad = false, device = 'cpu' } = options
    return new Tensor(
      called(() => native.NativeTensor.fromArray(numbers, [...shape], device, requiresGrad)),
    )
  }

  /** Joins tensors along a dimension. @default dim 0 */
  static cat(tensors: readonly Tensor[], dim: number = 0): Tensor {
    return apply('cat', tensors, { dim })
  }

  /** View `view` of a batch, normalised: float32 `[N, 3, size, size]`. @internal */
  static ofBatch(batch: Batch, view: number, device: string): Tensor {
    return new Tensor(called(() => native.NativeTensor.ofBatch(batch, view, device)))
  }

  /** Sizes; empty for a scalar. */
  get shape(): number[] {
    return this.handle.shape
  }

  /** Element type. */
  get dtype(): DType {
    return this.handle.dtype as DType
  }

  /** `cpu` or `cuda:N`. */
  get device(): string {
    return this.handle.device
  }

  /** The gradient that the backward passes called so far leave here; reading it rejects without one. */
  get grad(): Tensor {
    return new Tensor(called(() => this.handle.grad(siteOf('grad'))))
  }

  /** Element by element, broadcast as in PyTorch. */
  add(other: Tensor | number): Tensor {
    return typeof other === 'number'
      ? apply('add', [this], { number: other })
      : apply('add', [this, other])
  }

  /** Element by element, broadcast as in PyTorch. */
  sub(other: Tensor | number): Tensor {
    return typeof other === 'number' ? this.add(-other) : apply('sub', [this, other])
  }

  /** Element by element, broadcast as in PyTorch. */
  mul(other: Tensor | number): Tensor {
    return typeof other === 'number'
      ? apply('mul', [this], { number: other })
      : apply('mul', [this, other])
  }

  /** Element by element, broadcast as in PyTorch. */
  div(other: Tensor | number): Tensor {
    return typeof other === 'number' ? this.mul(1 / other) : apply('div', [this, other])
  }

  /** `[N, D] x [D, M] -> [N, M]` */
  matmul(other: Tensor): Tensor {
    return apply('matmul', [this, other])
  }

  /** A matrix with its two dimensions exchanged. */
  t(): Tensor {
    return apply('transpose', [this])
  }

  /** Over all elements, or over one dimension. */
  mean(dim?: number): Tensor {
    return apply('mean', [this], dim === undefined ? {} : { dim })
  }

  /** Over all elements, or over one dimension. */
  sum(dim?: number): Tensor {
    return apply('sum', [this], dim === undefined ? {} : { dim })
  }

  /** Unit length along a dimension (`F.normalize`, epsilon 1e-12). */
  normalize(dim: number = 1): Tensor {
    return apply('normalize', [this], { dim })
  }

  /** Joins all dimensions from `startDim` on. */
  flatten(startDim: number = 0): Tensor {
    return apply('flatten', [this], { dim: startDim })
  }

  /** The same values without their history: no gradient flows through. */
  detach(): Tensor {
    return apply('detach', [this])
  }

  /** Another dtype. */
  to(dtype: Exclude<DType, 'int64'>): Tensor {
    return apply('to', [this], { word: dtype })
  }

  /**
   * Adds the gradients of this scalar to every tensor it came from that requires one; the gradients of
   * `DistributedDataParallel` modules on the way are averaged over the ranks.
   */
  backward(): void {
    called(() => this.handle.backward(siteOf('backward'), [...this.reducers]))
  }

  /** Whether backward passes from now on leave a gradient here; for freezing parameters. */
  requiresGrad_(requiresGrad: boolean): this {
    called(() => this.handle.setRequiresGrad(siteOf('requiresGrad_'), requiresGrad))
    return this
  }

  /** Copies another tensor's values into this one; the shapes must be equal. */
  copy_(source: Tensor): this {
    called(() => this.handle.copyFrom(siteOf('copy_'), source.handle))
    return this
  }

  /** The value of a tensor with one element. */
  item(): Promise<number> {
    return guarded(() => this.handle.item())
  }

  /** All values, row-major; float32 for bfloat16. */
  toArray(): Promise<Numbers> {
    return guarded(() => this.handle.toArray())
  }

  /** Lets the value go, after the calls made so far; the collector does so later by itself. */
  dispose(): void {
    this.handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/** Queues an operation. */
export function apply(
  name: string,
  inputs: readonly Tensor[],
  settings: { number?: number; dim?: number; word?: string } = {},
): Tensor {
  const handles = inputs.map(({ handle }) => handle)
  const made = called(() => native.applyOp(siteOf(name), { name, ...settings }, handles))
  return new Tensor(made, name === 'detach' ? NO_REDUCERS : reducersOf(inputs))
}

/**
 * Queues giving the memory that freed tensors left back to the system (`torch.cuda.empty_cache`, for
 * the CPU too). It is kept for the next tensors of the same sizes; `train` gives it back at its end.
 */
export function emptyCache(): void {
  called(() => native.emptyCache())
}

/** Waits until every call so far has run. @throws NnclrError of one that failed without a result. */
export function synchronize(): Promise<void> {
  return guarded(() => native.synchronize())
}
