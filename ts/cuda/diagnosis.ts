/** Why the GPU is not used, in one sentence with the one fitting remedy. Facts in, words out. */

import { appliedChoice, type CudaChoice } from './choice.js'
import { driverVersion, oldestBranch } from './driver.js'
import { type FolderProblem, inspectTorch, TORCH_VERSION } from './torch-folder.js'

/** What stands in the way; `ready` is nothing. */
export type CudaState =
  | 'ready'
  | 'no-plugin'
  | 'folder'
  | 'version'
  | 'library-missing'
  | 'no-driver'
  | 'driver-too-old'
  | 'hidden'
  | 'no-device'

/** Everything that the answer depends on. */
export interface CudaFacts {
  readonly choice: CudaChoice | null
  /** The addon's own word: null when a device can be used. */
  readonly nativeReason: string | null
  /** The driver's version, null when none is seen. */
  readonly driver: string | null
  /** The CUDA version that the chosen torch was built with, where known. */
  readonly cuda: string | null
  /** CUDA_VISIBLE_DEVICES. */
  readonly visible: string | undefined
}

/** A state with its sentence. */
type Cause = readonly [CudaState, string]

/** What the addon says when the libraries are open and nothing can be computed with. */
const OPENED = 'the CUDA plug-in is loaded'

/** The answer. */
export interface CudaDiagnosis {
  readonly state: CudaState
  /** Why CUDA is not used, with the remedy; null when it is. */
  readonly reason: string | null
  /** The chosen folder, null when none is. */
  readonly folder: string | null
  /** The driver's version, null when none is seen. */
  readonly driver: string | null
}

/** Looks at this machine; `nativeReason` is what the addon said. */
export function diagnoseCuda(nativeReason: string | null): CudaDiagnosis {
  const choice = appliedChoice()
  const found = choice === null ? null : inspectTorch(choice.folder)
  const cuda = found !== null && 'lib' in found ? found.cuda : null
  const visible = process.env['CUDA_VISIBLE_DEVICES']
  return explainCuda({ choice, nativeReason, driver: driverVersion(), cuda, visible })
}

/** From facts to the answer. */
export function explainCuda(facts: CudaFacts): CudaDiagnosis {
  const [state, reason] = facts.nativeReason === null ? (['ready', null] as const) : causeOf(facts)
  return { state, reason, folder: facts.choice?.folder ?? null, driver: facts.driver }
}

/** The first of the causes, from the folder to the device. */
function causeOf(facts: CudaFacts): Cause {
  const { choice, nativeReason } = facts
  if (choice === null) return withoutChoice(facts.driver)
  if (choice.problem !== null) return withProblem(choice, choice.problem)
  const said = nativeReason ?? ''
  const library = /(\S+\.so[.\d]*): cannot open shared object file/.exec(said)?.[1]
  if (library !== undefined) {
    const remedy = 'install torch with its nvidia packages, or run `nnclr cuda install`'
    return ['library-missing', `${library} is missing beside ${choice.folder}: ${remedy}`]
  }
  // Opened and no device: anything else is the loader's own sentence.
  return said.includes(OPENED) ? withoutDevice(facts) : ['folder', said]
}

function withoutChoice(driver: string | null): Cause {
  const remedy = 'run `nnclr cuda install`, or `nnclr cuda use DIR` with the torch of a Python'
  const reason =
    driver === null
      ? `no NVIDIA driver is loaded, and no CUDA part of libtorch chosen (${remedy})`
      : `there is an NVIDIA driver ${driver}, but no CUDA part of libtorch: ${remedy}`
  return ['no-plugin', reason]
}

function withProblem({ source }: CudaChoice, { code, reason }: FolderProblem): Cause {
  const where = source === 'NNCLR_CUDA' ? 'the variable' : 'it by `nnclr cuda use DIR`'
  const remedy =
    code === 'version'
      ? `install torch ${TORCH_VERSION} there, or run \`nnclr cuda install\``
      : `correct ${where}`
  return [code, `${source}: ${reason}: ${remedy}`]
}

/** The libraries are open: it is the driver, or what the driver offers. */
function withoutDevice({ driver, cuda, visible }: CudaFacts): Cause {
  if (driver === null) return ['no-driver', 'no NVIDIA driver is loaded on this machine']
  const oldest = oldestBranch(cuda)
  if (oldest !== null && Number.parseInt(driver, 10) < oldest) {
    const needed = `CUDA ${cuda} needs ${oldest} or newer`
    return ['driver-too-old', `the NVIDIA driver ${driver} is too old: ${needed}`]
  }
  if (visible !== undefined && /^(-1|)$/.test(visible.trim())) {
    return ['hidden', 'CUDA_VISIBLE_DEVICES hides every device: unset it']
  }
  return ['no-device', `the NVIDIA driver ${driver} offers no device to this process`]
}

/**
 * What a run on `auto` tells once when it stays on the CPU: nothing where nobody expects a GPU, that
 * is without a chosen folder and without a driver.
 */
export function unusedGpuNote({ state, reason, driver }: CudaDiagnosis): string | null {
  if (reason === null || (state === 'no-plugin' && driver === null)) return null
  return `training on the CPU: ${reason}`
}
