/** The one place that decides where a training runs: in a process of its own. */

import { type TrainConfig, type TrainRun, train } from 'nnclr'

/**
 * Starts a training. Its memory, its threads and its crashes are the child's: a run that is killed
 * becomes a failed run with its last checkpoint, and the server lives on. `memoryLimitMB` is the most
 * resident memory of the child, MiB; null is no limit.
 */
export function startTraining(config: TrainConfig, memoryLimitMB: number | null): TrainRun {
  return train(config, { isolate: memoryLimitMB === null ? true : { memoryLimitMB } })
}
