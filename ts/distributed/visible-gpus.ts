/**
 * Whether all ranks of a machine see the same GPUs. A launcher, or a script, may show each rank one of its
 * own by CUDA_VISIBLE_DEVICES; nnclr's own launchers show all of theirs to every rank.
 */

import type { Environment } from './environment.js'

/** The variable by which nnclr tells the ranks that it starts which GPUs it sees itself. */
const SEEN = 'NNCLR_LAUNCHER_GPUS'

/** The variable for the ranks of a launcher with this environment. */
export function gpusOfLauncher(env: Environment): Record<string, string> {
  return { [SEEN]: visible(env) }
}

/** Whether a rank of nnclr's own launchers still sees what they see. */
export function seesAllGpus(env: Environment): boolean {
  return env[SEEN] === visible(env)
}

function visible(env: Environment): string {
  return env['CUDA_VISIBLE_DEVICES'] ?? 'all'
}
