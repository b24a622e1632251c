/** A run as its caller holds it: a promise of the result and, at the same time, the events. */

import { NnclrError } from '../errors.js'
import type { TrainEvent, TrainResult } from '../events.js'

/** Events kept for a reader that has not come yet; beyond, the oldest step events make way. */
const KEPT = 1024

/** Does the work and reports on the way. */
export type Work = (emit: (event: TrainEvent) => void) => Promise<TrainResult>

/**
 * `await` it for the result, or `for await` over it for the events; both work at the same time. A
 * reader that leaves its loop early does not stop the run: the `signal` does.
 */
export class TrainRun implements Promise<TrainResult>, AsyncIterable<TrainEvent> {
  readonly [Symbol.toStringTag]: string = 'TrainRun'
  readonly #result: Promise<TrainResult>
  readonly #readers: Set<Reader> = new Set()
  #kept: TrainEvent[] = []
  #isHeard = false
  #isOver = false

  /** Starts at once. */
  constructor(work: Work) {
    this.#result = work((event) => this.#emit(event)).catch((error: unknown) => {
      throw NnclrError.from(error)
    })
    void this.#result.catch((error: unknown) => this.#fail(error)).then(() => this.#end())
  }

  // biome-ignore lint/suspicious/noThenProperty: a run is a promise of its result.
  then<A = TrainResult, B = never>(
    onFulfilled?: ((result: TrainResult) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#isHeard = true
    return this.#result.then(onFulfilled, onRejected)
  }

  catch<B = never>(
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<TrainResult | B> {
    return this.then(null, onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<TrainResult> {
    this.#isHeard = true
    return this.#result.finally(onFinally)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TrainEvent, void, void> {
    const reader: Reader = { events: this.#kept, wake: () => {} }
    this.#kept = []
    this.#readers.add(reader)
    try {
      for (;;) {
        const event = reader.events.shift()
        if (event !== undefined) yield event
        else if (this.#isOver) break
        else await new Promise<void>((wake) => (reader.wake = wake))
      }
      await this.#result
    } finally {
      this.#readers.delete(reader)
    }
  }

  #emit(event: TrainEvent): void {
    for (const reader of this.#readers) {
      reader.events.push(event)
      reader.wake()
    }
    if (this.#readers.size > 0) return
    this.#kept.push(event)
    if (this.#kept.length > KEPT) {
      const oldest = this.#kept.findIndex(({ type }) => type === 'step')
      this.#kept.splice(Math.max(0, oldest), 1)
    }
  }

  /** A failure that nobody waits for must not be silent: it becomes an unhandled rejection. */
  #fail(error: unknown): void {
    // A reader that is still there throws it; one that left its loop early does not hear of it.
    if (!this.#isHeard && this.#readers.size === 0) void Promise.reject(error)
  }

  #end(): void {
    this.#isOver = true
    for (const reader of this.#readers) reader.wake()
  }
}

interface Reader {
  readonly events: TrainEvent[]
  wake: () => void
}
