/** The events of a run with numbers, so that a reader that was cut off goes on where it was. */

import type { TrainEvent } from 'nnclr'

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
  #entries: Entry[] = []
  #steps = 0
  #last = 0
  #isOver = false
  readonly #readers: Set<() => void> = new Set()

  append(
    event: TrainEvent | { readonly type: 'error'; readonly code: string; readonly message: string },
  ): void {
    // A configuration's signal belongs to this process.
    const json = JSON.stringify(event, (key, value) => (key === 'signal' ? undefined : value))
    this.#last += 1
    this.#entries.push({ id: this.#last, type: event.type, json })
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

  /** Entries with a higher number. */
  after(id: number): Entry[] {
    return this.#entries.filter((entry) => entry.id > id)
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
