/**
 * The only importer of the native addon. Its errors carry JSON; `NnclrError.from` reads it, at every
 * public function.
 */

import { isMainThread } from 'node:worker_threads'
import type * as Binding from './binding/index.cjs'
import { applyCudaChoice } from './cuda/choice.js'
import { NnclrError } from './errors.js'
import { type LoadedAddon, loadAddon } from './load-addon.js'

export type {
  BadPicture,
  Batch,
  CallSite,
  FeatureIndex,
  Loader,
  NativeInfo,
  NativeMemoryBank,
  NativeModule,
  NativeOptimizer,
  NativeReducer,
  NativeTensor,
  PictureSet,
  ProcessGroup,
  RandomViewOptions,
  Session,
  SessionOptions,
  StepNumbers,
} from './binding/index.cjs'

let loaded: LoadedAddon | undefined

/**
 * The addon's classes and functions. The addon is loaded when one of them is used: who leaves the
 * work to a child process (`isolate`) never has libtorch in this one.
 */
export const native: typeof Binding = onFirstUse(() => addon().exports as typeof Binding)

/** The addon's file, and the package it is of; null in a clone. */
export const nativeSource: Omit<LoadedAddon, 'exports'> = onFirstUse(addon)

function addon(): LoadedAddon {
  loaded ??= open()
  return loaded
}

/** Stands for an object that is made when one of its fields is read. */
function onFirstUse<T extends object>(make: () => T): T {
  return new Proxy({} as T, { get: (_, name) => Reflect.get(make(), name) })
}

/**
 * Looks, some 0.1 ms, for which a thread waits awake for the next loop before it sleeps. Waking costs more
 * than what many loops take; a thread that never sleeps takes a core from other programs, which made
 * steps up to five times slower.
 */
const SPINS = '10000'

function open(): LoadedAddon {
  // Native code reads these variables. What a Worker sets it sees only with `env: SHARE_ENV`, which cannot
  // be told from here: docs/embedding.md says what to set for the process.
  //
  // GNU OpenMP reads its own when libtorch is loaded: docs/decisions/0008-openmp-threads-sleep.md.
  if (process.env['OMP_WAIT_POLICY'] === undefined) {
    process.env['OMP_WAIT_POLICY'] = 'passive'
    process.env['GOMP_SPINCOUNT'] ??= SPINS
  }
  applyCudaChoice()
  const addon = loadAddon()
  const { shutDown } = addon.exports as typeof Binding
  // Waits for the tensor job under way: libtorch must not be torn down while it computes.
  if (isMainThread) process.on('exit', () => shutDown())
  return addon
}

/** Runs `work`; whatever it throws becomes an `NnclrError`. */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw NnclrError.from(error)
  }
}
