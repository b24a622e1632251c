/**
 * The ranks of a data-parallel program, as `torch.distributed`: one default group a process, joined
 * by `initProcessGroup`. Every method that says "collective" must be called by every rank, in the same
 * order; a rank that does not come is a `DISTRIBUTED` error on the others, never an endless wait.
 */

import { type ConfigIssue, NnclrError } from '../errors.js'
import { guarded, type ProcessGroup as NativeProcessGroup, native } from '../native.js'
import { threadsOf } from '../session.js'
import { called, reducersOf, siteOf, Tensor } from '../tensor.js'
import { type RankEnvironment, rankEnvironment } from './environment.js'
import { nextGroup } from './group-name.js'
import { gpuOf } from './rank-machine.js'
import { seesAllGpus } from './visible-gpus.js'

/** Options of `initProcessGroup`; a launcher's variables give what is left out. */
export interface InitProcessGroupOptions {
  /** @default that of the device: `gloo` on the CPU, `nccl` on CUDA */
  readonly backend?: 'gloo' | 'nccl'
  /** `cpu`, `cuda` (the GPU of the local rank) or `cuda:N`. @default 'cpu', 'cuda' for `nccl` */
  readonly device?: string
  /** How long a collective waits for the other ranks. @default 600 */
  readonly timeoutSeconds?: number
  /** How long joining waits for the other ranks. @default 300 */
  readonly joinTimeoutSeconds?: number
  /** This process's number. `rank`, `worldSize` and `masterPort` go together. */
  readonly rank?: number
  /** Number of processes. */
  readonly worldSize?: number
  /** Where rank 0 can be reached. @default '127.0.0.1' when `rank` is given */
  readonly masterAddr?: string
  /** A port of rank 0 that is free. */
  readonly masterPort?: number
  /** Network interface for the collectives. @default that of the way to `masterAddr` */
  readonly networkInterface?: string
}

/** Joined ranks. `initProcessGroup` makes it. */
export class ProcessGroup implements AsyncDisposable {
  /** @internal */
  readonly handle: NativeProcessGroup
  /** This process's number among all. */
  readonly rank: number
  /** Number of processes. */
  readonly worldSize: number
  /** This process's number on its machine; `rank` where no launcher tells. */
  readonly localRank: number
  /** `cpu` or `cuda:N`. */
  readonly device: string
  readonly #timeoutSeconds: number
  #left: Promise<void> | null = null

  /** @internal */
  constructor(handle: NativeProcessGroup, { place, device, timeoutSeconds }: Membership) {
    this.handle = handle
    this.rank = handle.rank
    this.worldSize = handle.worldSize
    this.localRank = place.localRank
    this.device = device
    this.#timeoutSeconds = timeoutSeconds
  }

  /**
   * Waits until every rank has come here and everything asked before is done. Collective.
   *
   * @param timeoutSeconds How long to wait for the others. @default the group's
   * @throws NnclrError DISTRIBUTED naming the ranks that are missing.
   */
  barrier(timeoutSeconds: number = this.#timeoutSeconds): Promise<void> {
    return guarded(() => this.handle.barrier(1000 * timeoutSeconds))
  }

  /**
   * Sum or mean of every rank's `x`, a new tensor without gradient. Collective.
   *
   * @param operation @default 'sum', as PyTorch, which replaces `x` however
   */
  allReduce(x: Tensor, operation: 'sum' | 'mean' = 'sum'): Tensor {
    const site = siteOf('allReduce')
    return new Tensor(called(() => this.handle.allReduce(site, x.handle, operation)))
  }

  /** Gives `x` the values of rank `root`, in place. Collective. @param root @default 0 */
  broadcast(x: Tensor, root: number = 0): void {
    called(() => this.handle.broadcast(siteOf('broadcast'), x.handle, root))
  }

  /**
   * `[N, ...]` of each rank, the same shape on all, to `[worldSize * N, ...]` in rank order. The
   * gradients of all ranks flow back, summed. Collective.
   */
  allGather(x: Tensor): Tensor {
    const gathered = called(() => this.handle.allGather(siteOf('allGather'), x.handle))
    return new Tensor(gathered, reducersOf([x]))
  }

  /** Every rank gives a text and gets all of them, in rank order. Collective. */
  gatherText(text: string): Promise<string[]> {
    return guarded(() => this.handle.gatherText(text))
  }

  /**
   * Ends the membership. Without a reason the rank that holds the store, rank 0 as a rule, waits up to
   * 10 s for the others, which need it to the last; those end at once. With a reason every rank ends at
   * once, and the errors of the others quote it. Ranks that still wait for this one hear of its end at
   * once when its `DistributedDataParallel` modules are disposed, else when its wait is over. A second
   * call changes nothing; the group's other methods reject with `DISPOSED` from now on.
   */
  leave(reason?: string): Promise<void> {
    if (current === this) current = null
    this.#left ??= guarded(() => this.handle.leave(reason))
    return this.#left
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave()
  }
}

/** The default group; `joining` while `initProcessGroup` waits. */
let current: ProcessGroup | 'joining' | null = null

/**
 * Joins the other ranks (`torch.distributed.init_process_group`) and makes the default group. Call it
 * before anything else of nnclr: it leaves each rank its share of the machine's cores unless
 * `OMP_NUM_THREADS` says how many, which libtorch reads once. Ranks that the options tell count as all
 * of one machine.
 *
 * @throws NnclrError CONFIG where no launcher told the ranks, for options out of range, and for a
 * second default group; DISTRIBUTED naming the ranks that did not come.
 */
export async function initProcessGroup(
  options: InitProcessGroupOptions = {},
): Promise<ProcessGroup> {
  if (current !== null) {
    const expected = 'one default group a process: destroyProcessGroup() ends the one before'
    throw NnclrError.config([{ field: 'initProcessGroup', value: 'a second call', expected }])
  }
  const membership = membershipOf(options)
  const { place, timeoutSeconds, joinTimeoutSeconds } = membership
  const threads = threadsOf({ threads: 'auto' }, place.localWorldSize)
  process.env['OMP_NUM_THREADS'] ??= String(threads)
  current = 'joining'
  try {
    const device = await numbered(membership)
    const { rank, worldSize, masterAddr, masterPort, hostsStore } = place
    const networkInterface = options.networkInterface ?? place.networkInterface
    const handle = await native.ProcessGroup.create({
      rank,
      worldSize,
      masterAddr,
      masterPort,
      hostsStore,
      prefix: `${place.prefix}/loop.${nextGroup(process.env)}`,
      ...(networkInterface === undefined || networkInterface === null ? {} : { networkInterface }),
      device,
      joinTimeoutMs: 1000 * joinTimeoutSeconds,
      timeoutMs: 1000 * timeoutSeconds,
    })
    current = new ProcessGroup(handle, { ...membership, device })
    return current
  } catch (error) {
    current = null
    throw NnclrError.from(error)
  }
}

/** The default group, null before `initProcessGroup` has resolved and after its end. @internal */
export function defaultGroup(): ProcessGroup | null {
  return current === 'joining' ? null : current
}

/** The default group. @throws NnclrError CONFIG when there is none. */
export function getProcessGroup(): ProcessGroup {
  const group = defaultGroup()
  if (group !== null) return group
  const expected = 'await initProcessGroup() before'
  throw NnclrError.config([{ field: 'process group', value: 'none', expected }])
}

/** Ends the default group, if there is one: `leave()`, with an orderly end or a reason. */
export async function destroyProcessGroup(reason?: string): Promise<void> {
  await defaultGroup()?.leave(reason)
}

/** What joining needs, complete and checked. */
interface Membership {
  readonly place: RankEnvironment
  readonly device: string
  readonly timeoutSeconds: number
  readonly joinTimeoutSeconds: number
}

function membershipOf(options: InitProcessGroupOptions): Membership {
  const { backend, timeoutSeconds = 600, joinTimeoutSeconds = 300 } = options
  const device = options.device ?? (backend === 'nccl' ? 'cuda' : 'cpu')
  const issues: ConfigIssue[] = []
  const check = (isRight: boolean, field: string, value: unknown, expected: string): void => {
    if (!isRight) issues.push({ field, value: String(value), expected })
  }
  check(timeoutSeconds > 0, 'timeoutSeconds', timeoutSeconds, 'a number of seconds above 0')
  check(joinTimeoutSeconds > 0, 'joinTimeoutSeconds', joinTimeoutSeconds, 'seconds above 0')
  check(/^(cpu|cuda(:\d+)?)$/.test(device), 'device', device, "'cpu', 'cuda' or 'cuda:N'")
  const own = device.startsWith('cuda') ? 'nccl' : 'gloo'
  check((backend ?? own) === own, 'backend', backend, `'${own}', which is that of ${device}`)
  if (options.rank !== undefined || options.worldSize !== undefined) {
    const { rank = -1, worldSize = -1, masterPort = -1 } = options
    const isCount = Number.isInteger(worldSize) && worldSize > 0
    check(isCount, 'worldSize', options.worldSize, 'a whole number above 0')
    const isRank = Number.isInteger(rank) && rank >= 0 && (!isCount || rank < worldSize)
    check(isRank, 'rank', options.rank, 'a whole number from 0, below worldSize')
    const isPort = Number.isInteger(masterPort) && masterPort > 0 && masterPort < 65536
    check(isPort, 'masterPort', options.masterPort, 'a port of rank 0, from 1 to 65535')
  }
  if (issues.length > 0) throw NnclrError.config(issues)
  return { place: placeOf(options), device, timeoutSeconds, joinTimeoutSeconds }
}

/** `cuda` is the GPU of the local rank. */
async function numbered({ device, place }: Membership): Promise<string> {
  if (device !== 'cuda') return device
  const { cudaDevices } = await native.nativeInfo()
  return gpuOf(place, cudaDevices, seesAllGpus(process.env))
}

/** This process among the others: as the options say, or else the launcher. */
function placeOf(options: InitProcessGroupOptions): RankEnvironment {
  const { rank, worldSize, masterPort, masterAddr = '127.0.0.1' } = options
  if (rank !== undefined && worldSize !== undefined && masterPort !== undefined) {
    return {
      rank,
      worldSize,
      localRank: rank,
      localWorldSize: worldSize,
      masterAddr,
      masterPort,
      hostsStore: rank === 0,
      prefix: 'options',
      networkInterface: null,
    }
  }
  const place = rankEnvironment(process.env)
  if (place === null) {
    const expected =
      'a process started by `nnclr launch -n 2 SCRIPT` or by ' +
      '`torchrun --no-python --nproc-per-node 2 node SCRIPT`, ' +
      'or the options rank, worldSize and masterPort'
    const value = 'no variables of a launcher (RANK, WORLD_SIZE, MASTER_ADDR ...)'
    throw NnclrError.config([{ field: 'initProcessGroup', value, expected }])
  }
  return place
}
