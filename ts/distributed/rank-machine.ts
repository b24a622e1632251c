/** What a rank has of its machine: a GPU, or a share of the cores. */

import type { ResolvedConfig } from '../config.js'
import { NnclrError } from '../errors.js'
import { native } from '../native.js'
import { threadsOf, workersOf } from '../session.js'
import type { RankEnvironment } from './environment.js'
import { seesAllGpus } from './visible-gpus.js'

/** The machine's part of a configuration, settled. */
export type MachineSettings = Pick<ResolvedConfig, 'device' | 'threads' | 'workers'>

/**
 * Device, threads and workers of this rank. Ranks of one machine share its cores, and each takes the GPU
 * of its local rank.
 *
 * @throws NnclrError CONFIG for a device that the ranks of a machine would share.
 */
export async function machineOf(
  config: MachineSettings,
  environment: RankEnvironment | null,
): Promise<MachineSettings> {
  const device = environment === null ? config.device : await deviceOf(config.device, environment)
  return { device, ...coresOf(config, environment) }
}

/** Threads and workers of this rank. */
export function coresOf(
  config: Pick<MachineSettings, 'threads' | 'workers'>,
  environment: RankEnvironment | null,
): Pick<MachineSettings, 'threads' | 'workers'> {
  const sharers = environment?.localWorldSize ?? 1
  return { threads: threadsOf(config, sharers), workers: workersOf(config, sharers) }
}

async function deviceOf(device: string, environment: RankEnvironment): Promise<string> {
  const { localWorldSize } = environment
  if (device === 'cpu') return device
  if (device.startsWith('cuda:')) {
    if (localWorldSize === 1) return device
    const expected = `'cuda', 'cpu' or 'auto': ${localWorldSize} ranks on this machine take a GPU each`
    throw NnclrError.config([{ field: 'device', value: `'${device}'`, expected }])
  }
  const { cudaDevices } = await native.nativeInfo()
  if (device === 'auto' && cudaDevices === 0) return 'cpu'
  return gpuOf(environment, cudaDevices, seesAllGpus(process.env))
}

/**
 * The GPU of a rank that sees `gpus` of them, `isAll` when the machine's other ranks see the same.
 *
 * @throws NnclrError CONFIG when there are fewer than ranks.
 */
export function gpuOf(
  { localRank, localWorldSize }: Pick<RankEnvironment, 'localRank' | 'localWorldSize'>,
  gpus: number,
  isAll: boolean,
): string {
  // Without any the session tells why there is none.
  if (isAll && gpus > 0 && localWorldSize > gpus) {
    const expected = `at most ${gpus}, the GPUs of this machine, or device 'cpu'`
    throw NnclrError.config([{ field: 'devices', value: String(localWorldSize), expected }])
  }
  // A launcher that binds GPUs to tasks shows each rank its own one alone, as number 0.
  return `cuda:${gpus === 1 ? 0 : localRank}`
}
