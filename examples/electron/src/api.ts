/** What the page may ask of the app, and what it hears. Types only: both sides are held to them. */

import type { TrainEvent, TrainResult } from 'nnclr'

/** The folder that was chosen. */
export interface ChosenFolder {
  /** Its path, for people. */
  readonly folder: string
  /** Whether an earlier training of it can go on. */
  readonly canResume: boolean
}

/** Settings that the page offers. */
export interface TrainingSettings {
  /** Passes over the pictures, 1 to 10,000. */
  readonly epochs: number
  /** Go on from the newest checkpoint. */
  readonly resume: boolean
}

/** A training failed; the app lives on. */
export interface FailedEvent {
  readonly type: 'failed'
  readonly code: string
  readonly message: string
}

/** What the page hears of a training. */
export type DesktopEvent = TrainEvent | FailedEvent

/** A picture of the folder. */
export interface FoundPicture {
  /** Its path within the folder, with `/`. */
  readonly name: string
  /** What an `<img>` shows. */
  readonly url: string
  /** Cosine similarity to the picture that was asked for, -1 to 1. */
  readonly similarity: number
}

/** `window.nnclr` in the page. */
export interface DesktopApi {
  /** Asks the user for a folder of pictures; null when none was chosen. */
  chooseFolder(): Promise<ChosenFolder | null>
  /** Starts a training of the folder; resolves when it is over. */
  train(settings: TrainingSettings): Promise<TrainResult | null>
  /** Stops it after the step under way, with a checkpoint. */
  stop(): Promise<void>
  /** Embeds the folder with the newest checkpoint; the first few pictures. */
  openGallery(): Promise<FoundPicture[]>
  /** The pictures nearest to one of the folder. */
  neighbours(name: string): Promise<FoundPicture[]>
  /** Calls back for each event; returns how to stop that. */
  onEvent(callback: (event: DesktopEvent) => void): () => void
}
