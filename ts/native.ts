/**
 * The only importer of the native addon. Its errors carry JSON; `NnclrError.from` reads it, at every
 * public function.
 */

import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import type * as Binding from './binding/index.cjs'
import { NnclrError } from './errors.js'

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
  NativeTensor,
  PictureSet,
  RandomViewOptions,
  Session,
  SessionOptions,
  StepNumbers,
} from './binding/index.cjs'

/** The addon's classes and functions. */
export const native: typeof Binding = open()

function open(): typeof Binding {
  // GNU OpenMP reads this when libtorch is loaded. Its threads otherwise spin while they wait for each
  // other, which on cores shared with another program makes a step up to five times slower.
  process.env['OMP_WAIT_POLICY'] ??= 'passive'
  try {
    const binding = createRequire(import.meta.url)('./binding/index.cjs') as typeof Binding
    // Waits for the tensor job under way: libtorch must not be torn down while it computes.
    if (isMainThread) process.on('exit', () => binding.shutDown())
    return binding
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `cannot load the native addon for ${process.platform}-${process.arch}: ${reason}`
    throw new NnclrError('IO', 'native addon', message, { cause })
  }
}

/** Runs `work`; whatever it throws becomes an `NnclrError`. */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw NnclrError.from(error)
  }
}
