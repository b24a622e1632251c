/** The systems an addon can exist for, and what each asks of the machine. */

/** One system. */
export interface Platform {
  /** As in the packages' names: `@nnclr/<name>` and `@nnclr/libtorch-<name>`. */
  readonly name: string
  /** Whether packages of it exist. */
  readonly isBuilt: boolean
  /** libtorch's main library inside its package. */
  readonly library: string
  /** The oldest glibc that libtorch was linked against; null where there is none. */
  readonly glibc: string | null
  /**
   * Instruction sets without which training fails, in the words of `/proc/cpuinfo`. On x64 the
   * convolutions (oneDNN) need SSE4.1; AVX2 and AVX-512 are used where they are.
   */
  readonly cpu: readonly string[]
}

/** By `process.platform` and `process.arch`. */
export const PLATFORMS: Readonly<Record<string, Platform>> = {
  'linux-x64': {
    name: 'linux-x64-gnu',
    isBuilt: true,
    library: 'torch/lib/libtorch_cpu.so',
    glibc: '2.28',
    cpu: ['sse4_1'],
  },
  'linux-arm64': {
    name: 'linux-arm64-gnu',
    isBuilt: false,
    library: 'torch/lib/libtorch_cpu.so',
    glibc: '2.28',
    cpu: [],
  },
  'darwin-arm64': {
    name: 'darwin-arm64',
    isBuilt: false,
    library: 'torch/lib/libtorch_cpu.dylib',
    glibc: null,
    cpu: [],
  },
  'win32-x64': {
    name: 'win32-x64-msvc',
    isBuilt: false,
    library: 'torch/lib/torch_cpu.dll',
    glibc: null,
    cpu: [],
  },
}

/** The package with the addon. */
export function addonPackage({ name }: Platform): string {
  return `@nnclr/${name}`
}

/** The package with libtorch. */
export function libtorchPackage({ name }: Platform): string {
  return `@nnclr/libtorch-${name}`
}

/** The addon's file inside its package, and inside a clone's `binding/`. */
export function addonFile({ name }: Platform): string {
  return `nnclr.${name}.node`
}
