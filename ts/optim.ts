/** Optimizers and schedulers for the hand-written loop, with PyTorch's and lightly's names. */

import { NnclrError } from './errors.js'
import { type NativeOptimizer, native } from './native.js'
import { called, siteOf, Tensor } from './tensor.js'

/** Parameters with settings of their own. */
export interface ParameterGroup {
  readonly params: readonly Tensor[]
  /** @default the optimizer's */
  readonly lr?: number
  /** @default the optimizer's */
  readonly weightDecay?: number
  /** LARS: whether steps are scaled by the trust ratio. @default true */
  readonly trust?: boolean
}

interface Rule {
  readonly name: 'sgd' | 'lars' | 'adamw' | 'muon'
  readonly lr: number
  readonly weightDecay: number
  readonly momentum?: number
  readonly nesterov?: boolean
  readonly trustCoefficient?: number
}

/** What all optimizers share. */
export abstract class Optimizer {
  /** Learning rate of each group; schedulers write here. */
  readonly lrs: number[]
  readonly #native: NativeOptimizer

  constructor(params: readonly Tensor[] | readonly ParameterGroup[], rule: Rule) {
    const groups = grouped(params)
    const issues = [
      ...(groups.every(({ params }) => params.length > 0)
        ? []
        : [{ field: 'params', value: 'an empty group', expected: 'at least one parameter' }]),
      ...(Number.isFinite(rule.lr) && rule.lr >= 0
        ? []
        : [{ field: 'lr', value: String(rule.lr), expected: 'a number from 0' }]),
    ]
    if (issues.length > 0) throw NnclrError.config(issues)
    this.lrs = groups.map(({ lr }) => lr ?? rule.lr)
    const settings = {
      name: rule.name,
      momentum: rule.momentum ?? 0,
      nesterov: rule.nesterov ?? false,
      trustCoefficient: rule.trustCoefficient ?? 0.001,
    }
    const native_ = groups.map(({ params, weightDecay, trust }) => ({
      parameters: params.map(({ handle }) => handle),
      weightDecay: weightDecay ?? rule.weightDecay,
      trust: trust ?? true,
    }))
    this.#native = called(() => new native.NativeOptimizer(settings, native_))
  }

  /** Queues one update of every parameter that has a gradient. */
  step(): void {
    called(() => this.#native.step(siteOf('optimizer.step'), [...this.lrs]))
  }

  /** Queues forgetting every gradient. */
  zeroGrad(): void {
    called(() => this.#native.zeroGrad(siteOf('optimizer.zeroGrad')))
  }
}

/** `torch.optim.SGD`. */
export class SGD extends Optimizer {
  constructor(
    params: readonly Tensor[] | readonly ParameterGroup[],
    options: { lr: number; momentum?: number; weightDecay?: number; nesterov?: boolean },
  ) {
    super(params, { name: 'sgd', weightDecay: 0, ...options })
  }
}

/** `lightly.utils.lars.LARS`. */
export class LARS extends Optimizer {
  constructor(
    params: readonly Tensor[] | readonly ParameterGroup[],
    options: {
      lr: number
      momentum?: number
      weightDecay?: number
      nesterov?: boolean
      trustCoefficient?: number
    },
  ) {
    super(params, { name: 'lars', weightDecay: 0, ...options })
  }
}

/** `torch.optim.AdamW` with its defaults: betas 0.9 and 0.999, epsilon 1e-8. */
export class AdamW extends Optimizer {
  constructor(
    params: readonly Tensor[] | readonly ParameterGroup[],
    options: { lr?: number; weightDecay?: number } = {},
  ) {
    super(params, { name: 'adamw', lr: 1e-3, weightDecay: 0.01, ...options })
  }
}

/**
 * Muon (Jordan et al. 2024; `torch.optim.Muon` for convolutions, in float32): the momentum of each
 * convolution's weight, as a matrix, is replaced by its orthogonal factor. Parameters of other
 * shapes, and a first convolution of at most 3 channels, are AdamW's at a twentieth of `lr`.
 */
export class Muon extends Optimizer {
  constructor(
    params: readonly Tensor[] | readonly ParameterGroup[],
    options: { lr?: number; momentum?: number; weightDecay?: number } = {},
  ) {
    super(params, { name: 'muon', lr: 0.02, momentum: 0.9, weightDecay: 0, ...options })
  }
}

/**
 * Scales all gradients so that their common length is at most `maxNorm`
 * (`torch.nn.utils.clip_grad_norm_`).
 *
 * @returns the length before, a float64 scalar.
 * @throws NnclrError CONFIG for a `maxNorm` that is no number above 0.
 */
export function clipGradNorm(parameters: readonly Tensor[], maxNorm: number): Tensor {
  if (!(maxNorm > 0)) {
    const expected = 'a number above 0'
    throw NnclrError.config([{ field: 'maxNorm', value: String(maxNorm), expected }])
  }
  const handles = parameters.map(({ handle }) => handle)
  return new Tensor(called(() => native.clipGradNorm(siteOf('clipGradNorm'), handles, maxNorm)))
}

/** Linear warm-up, then half a cosine (`lightly.utils.scheduler.CosineWarmupScheduler`). */
export class CosineWarmupScheduler {
  readonly #optimizer: Optimizer
  readonly #base: readonly number[]
  readonly #options: { warmupSteps: number; maxSteps: number; endFactor: number }
  #step = 0

  /** Steps may be epochs: whatever `step()` is called for. Sets the first rate at once. */
  constructor(
    optimizer: Optimizer,
    options: { warmupSteps: number; maxSteps: number; endFactor?: number },
  ) {
    this.#optimizer = optimizer
    this.#base = [...optimizer.lrs]
    this.#options = { endFactor: 0, ...options }
    this.#apply()
  }

  /** Goes on to the next rate. */
  step(): void {
    this.#step += 1
    this.#apply()
  }

  #apply(): void {
    const { warmupSteps, maxSteps, endFactor } = this.#options
    const factor = called(() =>
      native.cosineWarmupSchedule(this.#step, {
        maxSteps,
        warmupSteps,
        warmupStart: 0,
        lr: 1,
        lrEnd: endFactor,
      }),
    )
    for (const [group, lr] of this.#base.entries()) this.#optimizer.lrs[group] = lr * factor
  }
}

function grouped(params: readonly Tensor[] | readonly ParameterGroup[]): readonly ParameterGroup[] {
  const first = params[0]
  if (first !== undefined && 'params' in first) return params as readonly ParameterGroup[]
  return [{ params: params as readonly Tensor[] }]
}
