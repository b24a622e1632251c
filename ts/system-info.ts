/** What a bug report needs. */

import { cpus } from 'node:os'
import { guarded, native } from './native.js'

/** Versions, processor, threads and CUDA. */
export interface SystemInfo {
  /** nnclr's version. */
  readonly version: string
  /** libtorch's version. */
  readonly torch: string
  /** Node's version. */
  readonly node: string
  /** For example `linux-x64`. */
  readonly platform: string
  /** The processor's name. */
  readonly processor: string
  /** Its instruction sets that matter here. */
  readonly cpu: readonly string[]
  /** Threads that libtorch computes with. */
  readonly threads: number
  /** Whether CUDA can be used. */
  readonly cuda: {
    /** Whether a device can be used now. */
    readonly available: boolean
    /** Devices that can be used. */
    readonly devices: number
    /** Why CUDA is not used, null when it can be. */
    readonly reason: string | null
  }
}

/** Looks at the machine and the libraries. */
export async function systemInfo(): Promise<SystemInfo> {
  const info = await guarded(() => native.nativeInfo())
  return {
    version: info.version,
    torch: info.torch,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    processor: cpus()[0]?.model ?? 'unknown',
    cpu: info.cpu,
    threads: info.threads,
    cuda: {
      available: info.cudaReason === null,
      devices: info.cudaDevices,
      reason: info.cudaReason,
    },
  }
}
