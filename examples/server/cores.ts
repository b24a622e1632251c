/** How many threads may compute: one core is left to those who ask meanwhile. */

import { availableParallelism } from 'node:os'

/** Threads for a training and for embedding, each. */
export const COMPUTING_THREADS: number = Math.max(1, availableParallelism() - 1)
