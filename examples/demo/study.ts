/** What the demo asks of a set of pictures: one question for the emoji, another for any folder. */

import type { Dataset } from '../../ts/data/dataset.js'
import type { NeighbourRow, ScoreTable } from '../../ts/report/report.js'
import type { Learned, LearnSettings } from './learn.js'

/** A set of pictures with a question. */
export interface Study {
  /** Title of the page. */
  readonly title: string
  /** What was done, for the top of the page. */
  readonly lead: string
  /** What to train on, and how. */
  readonly settings: LearnSettings
  /** The pictures of `settings.data`, opened. */
  readonly dataset: Dataset
  /** Asks the question. */
  answer(outcome: Outcome): Promise<Answer>
}

/** What there is to ask. */
export interface Outcome {
  /** Checkpoint of the network before its first step. */
  readonly untrained: string
  /** Checkpoint of the trained network. */
  readonly trained: string
  readonly learned: Learned
}

/** What came out. */
export interface Answer {
  readonly scores: ScoreTable | null
  readonly rows: readonly NeighbourRow[]
  /** How to read the rows. */
  readonly rowsNote: string
}

/** `count` of `0 .. length - 1`, evenly spread: nobody has chosen them. */
export function spread(count: number, length: number): number[] {
  const taken = Math.min(count, length)
  return Array.from({ length: taken }, (_, i) => Math.floor(((i + 0.5) * length) / taken))
}
