/** How a child process shares the processor with others: it computes for hours, they want to answer at once. */

import { constants, getPriority, setPriority } from 'node:os'

/** The system's priorities below that of the caller. */
const STANDS_AT = {
  'below-normal': constants.priority.PRIORITY_BELOW_NORMAL,
  low: constants.priority.PRIORITY_LOW,
} as const

/** `normal` is that of the process which calls. */
export const PRIORITIES = ['normal', 'below-normal', 'low'] as const

/** A child's priority. */
export type Priority = (typeof PRIORITIES)[number]

/**
 * Lowers this process's priority; it is never raised, which the system would refuse. On Linux it is a
 * thread's own, and threads inherit it: so before the addon starts those that compute.
 */
export function standBack(priority: Priority): void {
  if (priority === 'normal') return
  const wanted = STANDS_AT[priority]
  try {
    if (getPriority() < wanted) setPriority(wanted)
  } catch {
    // A sandbox may forbid it. The work is the same without.
  }
}
