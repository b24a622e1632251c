/** Which rank a process is within a step of Slurm (`srun`), from Slurm's own variables. */

import type { RankEnvironment } from './environment.js'
import type { Variables } from './variables.js'

/** Ports for the stores of different jobs on one machine: 20000 to 39999. */
const FIRST_PORT = 20_000
const PORTS = 20_000
/** Step numbers from here on mean the batch script and the like, which are no steps of ranks. */
const FIRST_SPECIAL_STEP = 0xffff_fff0

/**
 * The rank within a step of more than one task; null outside one: the batch script itself, which has
 * most of the variables too, is no rank.
 */
export function slurmEnvironment(variables: Variables): RankEnvironment | null {
  const step = variables.text('SLURM_STEP_ID') ?? variables.text('SLURM_STEPID')
  if (step === undefined || !/^\d+$/.test(step) || Number(step) >= FIRST_SPECIAL_STEP) return null
  if (!variables.has('SLURM_NTASKS') || variables.text('SLURM_NTASKS') === '1') return null
  const worldSize = variables.whole('SLURM_NTASKS', 1)
  const rank = variables.whole('SLURM_PROCID', 0)
  const job = variables.whole('SLURM_JOB_ID', 0, undefined, Number.MAX_SAFE_INTEGER)
  const restarts = variables.text('SLURM_RESTART_COUNT') ?? '0'
  return {
    rank,
    worldSize,
    localRank: variables.whole('SLURM_LOCALID', 0),
    localWorldSize: tasksHere(variables),
    masterAddr: variables.text('MASTER_ADDR') ?? firstNode(variables),
    masterPort: variables.port('MASTER_PORT', FIRST_PORT + (job % PORTS)),
    hostsStore: rank === 0,
    prefix: `nnclr/slurm.${job}.${step}/${restarts}`,
    networkInterface: variables.networkInterface,
  }
}

/** Tasks of the step on this node. */
function tasksHere(variables: Variables): number {
  // Of the job when the step's own are not told; both go by node: `2(x3),1` is 2, 2, 2, 1.
  const name = variables.has('SLURM_STEP_TASKS_PER_NODE')
    ? 'SLURM_STEP_TASKS_PER_NODE'
    : 'SLURM_TASKS_PER_NODE'
  const perNode = variables.text(name)
  if (perNode === undefined) return variables.whole('SLURM_NTASKS_PER_NODE', 1)
  const node = variables.whole('SLURM_NODEID', 0, 0)
  const count = countOf(perNode, node)
  if (count === null) {
    variables.wrong(name, `tasks by node, as 2(x3),1, with one for node ${node}`)
    return 1
  }
  return count
}

/** The count of one node in `2(x3),1`; null when it is no such list or ends before. */
export function countOf(perNode: string, node: number): number | null {
  let first = 0
  for (const part of perNode.split(',')) {
    const [, count, times = '1'] = /^(\d+)(?:\(x(\d+)\))?$/.exec(part.trim()) ?? []
    if (count === undefined) return null
    first += Number(times)
    if (node < first) return Number(count)
  }
  return null
}

function firstNode(variables: Variables): string {
  const name = variables.firstOf('SLURM_STEP_NODELIST', 'SLURM_JOB_NODELIST', 'SLURM_NODELIST')
  const list = variables.text(name)
  const host = list === undefined ? null : firstHost(list)
  if (host === null) {
    // One of its names: a text with commas would be no variable's.
    variables.wrong(
      list === undefined ? 'SLURM_STEP_NODELIST' : name,
      'a list of nodes, as node[003-005,7]',
    )
  }
  return host ?? ''
}

/** The first name of `node[003-005,7],other`: `node003`; null when it is no such list. */
export function firstHost(list: string): string | null {
  // Up to the first comma outside of brackets.
  const first = /^(?:[^,[\]]|\[[^\]]*\])+/.exec(list.trim())?.[0]
  if (first === undefined) return null
  const host = first.replace(/\[(\d+)[^\]]*\]/g, '$1')
  return /^[A-Za-z0-9._-]+$/.test(host) ? host : null
}
