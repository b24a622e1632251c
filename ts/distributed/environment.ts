/**
 * Which rank this process is, as the launcher tells it by environment variables: torchrun, Kubernetes'
 * PyTorchJob and `nnclr launch` (the same names), Open MPI, Slurm. Pure: reads nothing else.
 */

import type { ConfigIssue } from '../errors.js'
import { NnclrError } from '../errors.js'
import { slurmEnvironment } from './slurm.js'
import { Variables } from './variables.js'

/** A process's place among the ranks, and where they meet. */
export interface RankEnvironment {
  /** This process, 0 to `worldSize - 1`. */
  readonly rank: number
  /** How many processes there are. */
  readonly worldSize: number
  /** This process among those of its machine. */
  readonly localRank: number
  /** How many processes this machine has. */
  readonly localWorldSize: number
  /** Host name or address of the store. */
  readonly masterAddr: string
  /** Its TCP port. */
  readonly masterPort: number
  /** Whether this process holds the store: rank 0 does, unless the launcher's agent has one. */
  readonly hostsStore: boolean
  /** Keeps the keys of this job and of this attempt apart from others on the same store. */
  readonly prefix: string
  /** Network interface for the ranks' own connections; null for the one that leads to the store. */
  readonly networkInterface: string | null
}

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

/** PyTorch's own port for the store, where a launcher names none. */
const DEFAULT_PORT = 29_500

/**
 * The rank that a launcher made this process; null when none did. Where several launchers left
 * variables the innermost counts: torchrun within a Slurm job is torchrun.
 *
 * @throws NnclrError CONFIG listing every variable that is missing or makes no sense.
 */
export function rankEnvironment(env: Environment): RankEnvironment | null {
  const variables = new Variables(env)
  const found =
    torchEnvironment(variables) ?? mpiEnvironment(variables) ?? slurmEnvironment(variables)
  const issues: ConfigIssue[] = variables.issues
  if (found !== null && issues.length === 0) issues.push(...outOfRange(found, variables))
  if (issues.length > 0) throw NnclrError.config(issues)
  return found
}

/** `RANK` and `WORLD_SIZE`: torchrun, PyTorchJob (one process a pod, no `LOCAL_` names), `nnclr launch`. */
function torchEnvironment(variables: Variables): RankEnvironment | null {
  if (!variables.has('RANK') && !variables.has('WORLD_SIZE')) return null
  if (isAlone(variables)) return null
  const rank = variables.whole('RANK', 0)
  const worldSize = variables.whole('WORLD_SIZE', 1)
  // An agent restarts its ranks beside a store that still holds the keys of the attempt before.
  const job = variables.text('TORCHELASTIC_RUN_ID') ?? 'job'
  const attempt = variables.text('TORCHELASTIC_RESTART_COUNT') ?? '0'
  return {
    rank,
    worldSize,
    localRank: variables.whole('LOCAL_RANK', 0, 0),
    localWorldSize: variables.whole('LOCAL_WORLD_SIZE', 1, 1),
    masterAddr: variables.needed('MASTER_ADDR', 'the host of rank 0'),
    masterPort: variables.port('MASTER_PORT'),
    hostsStore: rank === 0 && variables.text('TORCHELASTIC_USE_AGENT_STORE') !== 'True',
    prefix: `nnclr/${job}/${attempt}`,
    networkInterface: variables.networkInterface,
  }
}

/**
 * Whether the variables tell of one process that meets nobody: containers and shells have a lone `RANK=0`
 * or `WORLD_SIZE=1`. One that a launcher started has all of them, and is a rank for `initProcessGroup`.
 */
function isAlone(variables: Variables): boolean {
  const [rank = '0', worldSize] = [variables.text('RANK'), variables.text('WORLD_SIZE')]
  if (rank !== '0') return false
  if (worldSize === undefined) return !variables.has('MASTER_ADDR')
  const isWhole = ['RANK', 'MASTER_ADDR', 'MASTER_PORT'].every((name) => variables.has(name))
  return worldSize === '1' && !isWhole
}

/** Open MPI says who is who, not where to meet. */
function mpiEnvironment(variables: Variables): RankEnvironment | null {
  if (!variables.has('OMPI_COMM_WORLD_SIZE')) return null
  const worldSize = variables.whole('OMPI_COMM_WORLD_SIZE', 1)
  if (worldSize === 1) return null
  const rank = variables.whole('OMPI_COMM_WORLD_RANK', 0)
  return {
    rank,
    worldSize,
    localRank: variables.whole('OMPI_COMM_WORLD_LOCAL_RANK', 0),
    localWorldSize: variables.whole('OMPI_COMM_WORLD_LOCAL_SIZE', 1),
    masterAddr: variables.needed('MASTER_ADDR', 'the host of rank 0 (mpirun -x MASTER_ADDR=HOST)'),
    masterPort: variables.port('MASTER_PORT', DEFAULT_PORT),
    hostsStore: rank === 0,
    prefix: `nnclr/mpi.${variables.text('OMPI_MCA_ess_base_jobid') ?? 'job'}/0`,
    networkInterface: variables.networkInterface,
  }
}

/** Ranks that are none of the world. */
function outOfRange(found: RankEnvironment, variables: Variables): ConfigIssue[] {
  const { rank, worldSize, localRank, localWorldSize } = found
  const issues: ConfigIssue[] = []
  if (rank >= worldSize) {
    const field = variables.firstOf('RANK', 'OMPI_COMM_WORLD_RANK', 'SLURM_PROCID')
    issues.push({ field, value: String(rank), expected: `below the number of ranks, ${worldSize}` })
  }
  if (localRank >= localWorldSize) {
    const field = variables.firstOf('LOCAL_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'SLURM_LOCALID')
    const expected = `below the number of ranks on this machine, ${localWorldSize}`
    issues.push({ field, value: String(localRank), expected })
  }
  if (localWorldSize > worldSize) {
    const field = variables.firstOf(
      'LOCAL_WORLD_SIZE',
      'OMPI_COMM_WORLD_LOCAL_SIZE',
      'SLURM_NTASKS',
    )
    const expected = `at most the number of all ranks, ${worldSize}`
    issues.push({ field, value: String(localWorldSize), expected })
  }
  return issues
}
