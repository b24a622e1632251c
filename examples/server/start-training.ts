/** The one place that decides where a training runs: in a process of its own. */

import { type TrainConfig, type TrainRun, train } from 'nnclr'

/**
 * Starts a training. Its memory, its threads and its crashes are the child's: a run that is killed
 * becomes a failed run with its last checkpoint, and the server lives on.
 */
export function startTraining(config: TrainConfig): TrainRun {
  return train(config, { isolate: true })
}
