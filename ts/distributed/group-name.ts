/** Numbers for the process groups of this process: the keys of one must not be taken for another's. */

import type { Environment } from './environment.js'

/** The variable by which a process tells a child how many groups there were before. */
const GROUPS_BEFORE = 'NNCLR_GROUPS_BEFORE'

let groups = 0

/**
 * The number of the next group. Ranks make their groups in the same order, so it is the same on all; a
 * child process goes on where its parent stands.
 */
export function nextGroup(env: Environment): number {
  groups += 1
  return before(env) + groups
}

/**
 * The variable for a child process that makes the next group in this one's place: that group has the
 * number which it would have had here, and the one that is made here afterwards has the next.
 */
export function groupsSoFar(env: Environment): Record<string, string> {
  groups += 1
  return { [GROUPS_BEFORE]: String(before(env) + groups - 1) }
}

function before(env: Environment): number {
  const count = Number(env[GROUPS_BEFORE] ?? 0)
  return Number.isSafeInteger(count) && count > 0 ? count : 0
}
