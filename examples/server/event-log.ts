/** The events of a run with numbers, so that a reader that was cut off goes on where it was. */

import type { TrainEvent } from 'nnclr'
import type { ToldPaths } from './told-paths.js'

/** An event as it is told: numbered from 1, and as JSON. */
export interface Entry {
  readonly id: number
  readonly type: string
  readonly json: string
}

/** Step events kept for readers that come later; all others are kept. */
const KEPT_STEPS = 2000

/** Keeps events and tells them to readers. */
export class EventLog {
  readonly #told: ToldPaths
  #entries: Entry[] = []
  #steps = 0
  #last = 0
  #isOver = false
  #isForgotten = false
  readonly #readers: Set<() => void> = new Set()

  constructor(told: ToldPaths) {
    this.#told = told
  }

  append(
    event: TrainEvent | { readonly type: 'error'; readonly code: string; readonly message: string },
  ): void {
    this.#last += 1
    this.#entries.push({ id: this.#last, type: event.type, json: this.#told.json(event) })
    if (event.type === 'step' && ++this.#steps > KEPT_STEPS) this.#dropOldestStep()
    this.#wake()
  }

  /** Nothing comes any more. */
  end(): void {
    this.#isOver = true
    this.#wake()
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Lets the events of a run that is over go. */
  forget(): void {
    this.#entries = []
    this.#isForgotten = true
    this.#wake()
  }

  get isForgotten(): boolean {
    return this.#isForgotten
  }

  /** Entries with a higher number, in order; to be read in one turn of the event loop. */
  *after(id: number): Generator<Entry> {
    // Numbers rise, with gaps where steps were dropped.
    let [from, to] = [0, this.#entries.length]
    while (from < to) {
      const middle = (from + to) >> 1
      if ((this.#entries[middle]?.id ?? 0) > id) to = middle
      else from = middle + 1
    }
    for (let place = from; place < this.#entries.length; place++) {
      const entry = this.#entries[place]
      if (entry !== undefined) yield entry
    }
  }

  /** Calls back when there may be something new; returns how to stop that. */
  listen(callback: () => void): () => void {
    this.#readers.add(callback)
    return () => this.#readers.delete(callback)
  }

  #dropOldestStep(): void {
    const oldest = this.#entries.findIndex(({ type }) => type === 'step')
    this.#entries.splice(oldest, 1)
    this.#steps -= 1
  }

  #wake(): void {
    for (const reader of this.#readers) reader()
  }
}
