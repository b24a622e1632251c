/**
 * What a training run tells while it goes. Epochs are counted from 1 and name the epoch being run
 * or just ended; `step` counts finished steps over the whole run.
 */

import type { ResolvedConfig } from './config.js'

/** How well the looked-up neighbours do, as means over the step or epoch. */
export interface NeighbourHealth {
  /** Mean cosine similarity of a row and its neighbour. */
  readonly neighbourSimilarity: number
  /** Mean cosine similarity of the rows of a picture's two views. */
  readonly viewSimilarity: number
  /**
   * Share of pictures whose two views have the same neighbour, 0 to 1: how much neighbours mean, as
   * far as the bank can tell without labels.
   */
  readonly neighbourAgreement: number
  /** Share of different bank rows among the neighbours, 0 to 1; low means collapse. */
  readonly uniqueNeighbours: number
  /** Share of neighbours that are the same picture's older embedding, 0 to 1. */
  readonly selfNeighbourRate: number
  /** Mean age of the neighbours in steps. */
  readonly neighbourAge: number
  /** Share of neighbours of the same class, 0 to 1; null without labels. */
  readonly sameClassRate: number | null
  /**
   * Standard deviation of the unit embeddings' components, times the root of their number: near 1
   * when spread, towards 0 when collapsed.
   */
  readonly featureStd: number
  /** Share of the bank's rows that have been written, 0 to 1. */
  readonly bankFilled: number
}

/** What the ranks of a training told each other, as means over steps. */
export interface Communication {
  /** Bytes that this rank sent and reduced in a step. */
  readonly bytesPerStep: number
  /** Time in a step that this rank waited for the others and the network. */
  readonly secondsPerStep: number
  /** Share of the wall-clock time that this was, 0 to 1. */
  readonly share: number
  /**
   * Of the time from the first bucket of gradients that leaves to the last that is back, the share that
   * lies beside the backward pass and is not waited for, 0 to 1. Null on a GPU, where it is not measured
   * and the rest is no part of `secondsPerStep`.
   */
  readonly overlap: number | null
}

/** Training begins; everything is settled. */
export interface StartEvent {
  readonly type: 'start'
  /** The complete configuration. */
  readonly config: ResolvedConfig
  /** Training pictures used. */
  readonly pictures: number
  /** Class names of the training set, null without labels or names. */
  readonly classes: readonly string[] | null
  /** Steps of the whole run. */
  readonly steps: number
  /** Steps that an earlier run had finished; 0 unless resumed. */
  readonly resumedAt: number
  /** Processes that train together. */
  readonly ranks: number
  /** The device in use, for example `cpu`; of rank 0. */
  readonly device: string
  /** The arithmetic in use. */
  readonly precision: 'fp32' | 'bf16'
}

/** A step has finished (every `logEverySteps`-th). */
export interface StepEvent extends NeighbourHealth {
  readonly type: 'step'
  /** The epoch under way, from 1. */
  readonly epoch: number
  /** Finished steps. */
  readonly step: number
  /** Steps of the whole run. */
  readonly steps: number
  /** The step's loss. */
  readonly loss: number
  /** The step's learning rate. */
  readonly lr: number
  /** Pictures (pairs of views) a second since the last step event. */
  readonly imagesPerSecond: number
  /** Share of the time spent waiting for data, 0 to 1; of rank 0. */
  readonly dataWait: number
  /** Of rank 0 since the last step event; null on one rank. */
  readonly communication: Communication | null
  /** Estimate for the rest of the run, seconds. */
  readonly secondsLeft: number
}

/** An epoch has ended. */
export interface EpochEvent extends NeighbourHealth {
  readonly type: 'epoch'
  /** The epoch that ended, from 1. */
  readonly epoch: number
  /** Epochs of the whole run. */
  readonly epochs: number
  /** Finished steps. */
  readonly step: number
  /** Mean of its steps' losses. */
  readonly loss: number
  /** Wall-clock time of the epoch. */
  readonly seconds: number
  /** Pictures (pairs of views) a second. */
  readonly imagesPerSecond: number
  /** Share of the time spent waiting for data, 0 to 1; of rank 0. */
  readonly dataWait: number
  /** Of rank 0; null on one rank. */
  readonly communication: Communication | null
}

/** The validation pictures were classified by their neighbours among the training pictures. */
export interface EvaluationEvent {
  readonly type: 'evaluation'
  /** Finished epochs; 0 before the first step. */
  readonly epoch: number
  /** Finished steps. */
  readonly step: number
  /** Share classified correctly, 0 to 1. */
  readonly knnTop1: number
  /** Training pictures compared with. */
  readonly references: number
  /** Validation pictures classified. */
  readonly queries: number
  /** Neighbours that voted. */
  readonly k: number
  /** Side at which the pictures were compared, pixels. */
  readonly imageSize: number
}

/** A checkpoint is safely on the disk. */
export interface CheckpointEvent {
  readonly type: 'checkpoint'
  /** The file. */
  readonly path: string
  /** Finished epochs. */
  readonly epoch: number
  /** Finished steps. */
  readonly step: number
}

/** Something to know that does not stop the run. */
export interface WarningEvent {
  readonly type: 'warning'
  /** A stable word for programs: `DATA` for a picture that was skipped, `NOTE` for the rest. */
  readonly code: string
  /** For people. */
  readonly message: string
}

/** The run is over; the last event. */
export interface EndEvent {
  readonly type: 'end'
  /** What awaiting the run gives too. */
  readonly result: TrainResult
}

/** Any event of a run, told apart by `type`. */
export type TrainEvent =
  | StartEvent
  | StepEvent
  | EpochEvent
  | EvaluationEvent
  | CheckpointEvent
  | WarningEvent
  | EndEvent

/** What a run leaves behind. */
export interface TrainResult {
  /** The run directory. */
  readonly out: string
  /** The newest checkpoint, null when none could be written. */
  readonly checkpoint: string | null
  /** Finished epochs. */
  readonly epochs: number
  /** Finished steps. */
  readonly steps: number
  /** Mean loss of the last finished epoch; before the first, of the steps so far. */
  readonly loss: number
  /** Share of validation pictures classified correctly, newest score; null without one. */
  readonly knnTop1: number | null
  /** Whether the signal ended the run before its last epoch. */
  readonly stopped: boolean
  /** Unreadable pictures met; see bad-images.jsonl. */
  readonly badImages: number
  /** The exported backbone, null when the run was stopped before. */
  readonly exported: string | null
  /** Wall-clock time of this call. */
  readonly seconds: number
}
