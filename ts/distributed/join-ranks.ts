/** From a launcher's variables to ranks that can talk to each other. */

import type { ResolvedConfig } from '../config.js'
import { NnclrError } from '../errors.js'
import { native } from '../native.js'
import type { RankEnvironment } from './environment.js'
import { nextGroup } from './group-name.js'
import { ALONE, JoinedRanks, type Ranks } from './ranks.js'

/**
 * Meets the other ranks; alone where there are none.
 *
 * @throws NnclrError DISTRIBUTED naming the ranks that did not come in time.
 */
export async function joinRanks(
  environment: RankEnvironment | null,
  { distributed }: Pick<ResolvedConfig, 'distributed'>,
  device: string,
): Promise<Ranks> {
  if (environment === null || environment.worldSize === 1) return ALONE
  const { rank, worldSize, masterAddr, masterPort, hostsStore, prefix } = environment
  const networkInterface = distributed.networkInterface ?? environment.networkInterface
  const group = await native.ProcessGroup.create({
    rank,
    worldSize,
    masterAddr,
    masterPort,
    hostsStore,
    prefix: `${prefix}/train.${nextGroup(process.env)}`,
    ...(networkInterface === null ? {} : { networkInterface }),
    device,
    joinTimeoutMs: distributed.joinTimeoutSeconds * 1000,
    timeoutMs: distributed.timeoutSeconds * 1000,
  })
  return new JoinedRanks(group, distributed)
}

/**
 * Holds `devices` to what a launcher started.
 *
 * @throws NnclrError CONFIG when it says another number.
 */
export function checkDevices(
  devices: number | 'auto',
  { localWorldSize }: Pick<RankEnvironment, 'localWorldSize'>,
): void {
  if (devices === 'auto' || devices === localWorldSize) return
  const expected = `'auto' or ${localWorldSize}: so many ranks the launcher started on this machine`
  throw NnclrError.config([{ field: 'devices', value: String(devices), expected }])
}
