/** The base of everything that has parameters, as `torch.nn.Module`. */

import { NnclrError } from '../errors.js'
import type { DType, Tensor } from '../tensor.js'

/** Tensors by name. */
export type StateDict = Map<string, Tensor>

/** What `loadStateDict` left alone. */
export interface LoadReport {
  /** Names of this module that the dictionary lacks. */
  readonly missing: string[]
  /** Names in the dictionary that this module has no place for. */
  readonly unexpected: string[]
}

/**
 * A network, made of the modules in its fields. Names in the state dictionary are the fields' in
 * snake case (`projectionHead` is `projection_head.`), so that weights travel to and from Python.
 */
export abstract class Module {
  #isTraining = true

  /** Whether batch norm uses the batch's own statistics. */
  get training(): boolean {
    return this.#isTraining
  }

  /** The modules in the fields, by state-dictionary name. */
  namedChildren(): [string, Module][] {
    const fields = Object.entries(this).filter(([, value]) => value instanceof Module)
    return fields.map(([name, value]) => [snakeCase(name), value as Module])
  }

  /** Own tensors, without the children's; the built-in layers have some. */
  protected ownTensors(): { name: string; tensor: Tensor; trainable: boolean }[] {
    return []
  }

  /** Every tensor with its full name. */
  #named(prefix: string): { name: string; tensor: Tensor; trainable: boolean }[] {
    const own = this.ownTensors().map((entry) => ({ ...entry, name: prefix + entry.name }))
    const below = this.namedChildren().flatMap(([name, child]) => child.#named(`${prefix}${name}.`))
    return [...own, ...below]
  }

  /** The trained tensors by name. */
  namedParameters(): [string, Tensor][] {
    return this.#named('')
      .filter((entry) => entry.trainable)
      .map(({ name, tensor }) => [name, tensor])
  }

  /** The trained tensors, for an optimizer. */
  parameters(): Tensor[] {
    return this.namedParameters().map(([, tensor]) => tensor)
  }

  /** Parameters and running statistics by name: the module's own tensors, not copies. */
  stateDict(): StateDict {
    return new Map(this.#named('').map(({ name, tensor }) => [name, tensor]))
  }

  /**
   * Copies values in; every shape is checked before the first copy.
   *
   * @param options.strict Whether names must match exactly. @default true
   * @throws NnclrError CHECKPOINT naming what is missing or unexpected, SHAPE for a shape that differs.
   */
  loadStateDict(state: StateDict, { strict = true }: { strict?: boolean } = {}): LoadReport {
    const own = this.stateDict()
    const missing = [...own.keys()].filter((name) => !state.has(name))
    const unexpected = [...state.keys()].filter((name) => !own.has(name))
    if (strict && missing.length + unexpected.length > 0) {
      const message = `state dictionary does not fit: missing ${show(missing)}; unexpected ${show(unexpected)}`
      throw new NnclrError('CHECKPOINT', 'loadStateDict', message)
    }
    const copies = [...own].flatMap(([name, to]) => {
      const from = state.get(name)
      return from === undefined ? [] : [{ name, to, from }]
    })
    const misfit = copies.find(({ to, from }) => to.shape.join() !== from.shape.join())
    if (misfit !== undefined) {
      const { name, to, from } = misfit
      throw new NnclrError('SHAPE', name, `${name}: got [${from.shape}], expected [${to.shape}]`)
    }
    for (const { to, from } of copies) to.copy_(from)
    return { missing, unexpected }
  }

  /** Training mode, or evaluation with `false`; the children too. */
  train(isTraining: boolean = true): this {
    this.#isTraining = isTraining
    for (const [, child] of this.namedChildren()) child.train(isTraining)
    return this
  }

  /** Evaluation mode: batch norm uses its running statistics. */
  eval(): this {
    return this.train(false)
  }

  /** Moves every tensor to a device (`cpu`, `cuda`, `cuda:N`) and, if given, another dtype. */
  to(device: string, dtype: Exclude<DType, 'int64' | 'bfloat16'> = 'float32'): this {
    this.moved(device, dtype)
    for (const [, child] of this.namedChildren()) child.to(device, dtype)
    return this
  }

  /** Moves own tensors. */
  protected moved(_device: string, _dtype: string): void {}

  /** Whether the parameters are trained; `requiresGrad_(false)` freezes them. */
  requiresGrad_(requiresGrad: boolean): this {
    for (const parameter of this.parameters()) parameter.requiresGrad_(requiresGrad)
    return this
  }
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function show(names: readonly string[]): string {
  if (names.length === 0) return 'nothing'
  return names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '')
}
