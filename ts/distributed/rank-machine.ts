/** What a rank has of its machine: a GPU, or a share of the cores. */

import type { ResolvedConfig } from '../config.js'
import { NnclrError } from '../errors.js'
import { native } from '../native.js'
import { threadsOf, workersOf } from '../session.js'
import type { RankEnvironment } from './environment.js'

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
  const sharers = environment?.localWorldSize ?? 1
  return {
    device: environment === null ? config.device : await deviceOf(config.device, environment),
    threads: threadsOf(config, sharers),
    workers: workersOf(config, sharers),
  }
}

async function deviceOf(
  device: string,
  { localRank, localWorldSize }: RankEnvironment,
): Promise<string> {
  if (device === 'cpu') return device
  if (device.startsWith('cuda:')) {
    if (localWorldSize === 1) return device
    const expected = `'cuda', 'cpu' or 'auto': ${localWorldSize} ranks on this machine take a GPU each`
    throw NnclrError.config([{ field: 'device', value: `'${device}'`, expected }])
  }
  const { cudaDevices } = await native.nativeInfo()
  if (device === 'auto' && cudaDevices === 0) return 'cpu'
  // A launcher that binds GPUs to tasks shows each rank its own one alone, as number 0.
  return `cuda:${cudaDevices === 1 ? 0 : localRank}`
}
