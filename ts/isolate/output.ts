/** What a child writes: passed on, and its last lines kept for the error of a crash. */

import process from 'node:process'

/** A grandchild may hold the streams open: so long they are waited for after the exit, in ms. */
export const STREAMS_MS = 1000

/** Lines of stderr that are kept. */
const LINES = 20
/** Characters of them that are kept. */
const CHARACTERS = 4096

/** The output of one child process. */
export class Output {
  readonly #passOn: (text: string, stream: 'stdout' | 'stderr') => void
  #tail = ''

  /** Passes on to `onOutput`, or to this process's streams. */
  constructor(onOutput: ((text: string, stream: 'stdout' | 'stderr') => void) | undefined) {
    // It is the child's text, as libtorch would have written it here.
    this.#passOn = onOutput ?? ((text, stream) => void process[stream].write(text))
  }

  /** Takes a text from the child. */
  take(text: string, stream: 'stdout' | 'stderr'): void {
    if (stream === 'stderr') this.#tail = (this.#tail + text).slice(-CHARACTERS)
    this.#passOn(text, stream)
  }

  /** The last lines of stderr. */
  get lastLines(): string {
    return this.#tail.trimEnd().split('\n').slice(-LINES).join('\n')
  }
}
