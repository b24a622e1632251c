/** What a bug report needs. */

import { cpus, release, totalmem, type } from 'node:os'
import { type CudaState, diagnoseCuda } from './cuda/diagnosis.js'
import { loadedFrom } from './load-addon.js'
import { guarded, native, nativeSource } from './native.js'

/** Versions, processor, threads and CUDA. */
export interface SystemInfo {
  /** nnclr's version. */
  readonly version: string
  /** libtorch's version. */
  readonly torch: string
  /** Node's version. */
  readonly node: string
  /** Where the machine code came from. */
  readonly addon: {
    /** The addon's file. */
    readonly path: string
    /** Its package with the version; null in a clone of the repository. */
    readonly package: string | null
  }
  /** The file of libtorch that is in use. */
  readonly libtorch: string | null
  /** The C library with its version, `glibc 2.36`; null elsewhere than on Linux. */
  readonly libc: string | null
  /** For example `linux-x64`. */
  readonly platform: string
  /** The operating system with its version, for example `Linux 6.1.0`. */
  readonly system: string
  /** Memory of the machine in bytes; a container may allow less. */
  readonly memory: number
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
    /** Why CUDA is not used, with the remedy; null when it can be. */
    readonly reason: string | null
    /** The same as a word for programs; `ready` when it can be used. */
    readonly state: CudaState
    /** Folder of the CUDA part of libtorch, null when none is chosen. */
    readonly folder: string | null
    /** Version of the NVIDIA driver, null when none is seen. */
    readonly driver: string | null
  }
}

/** Looks at the machine and the libraries. */
export async function systemInfo(): Promise<SystemInfo> {
  const info = await guarded(() => native.nativeInfo())
  return {
    version: info.version,
    torch: info.torch,
    node: process.versions.node,
    addon: { path: nativeSource.path, package: nativeSource.package },
    ...loadedFrom(),
    platform: `${process.platform}-${process.arch}`,
    system: `${type()} ${release()}`,
    memory: totalmem(),
    processor: cpus()[0]?.model ?? 'unknown',
    cpu: info.cpu,
    threads: info.threads,
    cuda: {
      available: info.cudaReason === null,
      devices: info.cudaDevices,
      ...diagnoseCuda(info.cudaReason),
    },
  }
}
