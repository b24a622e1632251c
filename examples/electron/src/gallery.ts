/** Embedded pictures, from the app's side. A process that dies fails its calls and is made anew. */

import type { GalleryAnswer, GalleryPicture, GalleryProcess, GalleryRequest } from './messages.js'

interface Pending {
  resolve(pictures: readonly GalleryPicture[]): void
  reject(error: Error): void
}

/** Pictures shown for one. */
const NEIGHBOURS = 12

/** A process with what it was asked and has not yet answered. */
interface Begun {
  readonly process: GalleryProcess
  readonly pending: Map<number, Pending>
}

/** A request without its number. */
type Question = GalleryRequest extends infer R ? (R extends unknown ? Omit<R, 'id'> : never) : never

/** The search over one folder. */
export class Gallery {
  readonly #start: () => GalleryProcess
  #begun: Begun | null = null
  #last = 0

  /** `start` makes the process when it is first needed. */
  constructor(start: () => GalleryProcess) {
    this.#start = start
  }

  /** Embeds a folder; some of its pictures. */
  open(checkpoint: string, folder: string): Promise<readonly GalleryPicture[]> {
    return this.#ask({ type: 'open', checkpoint, folder })
  }

  /** The pictures nearest to one. */
  neighbours(picture: string): Promise<readonly GalleryPicture[]> {
    return this.#ask({ type: 'neighbours', picture, k: NEIGHBOURS })
  }

  /** Ends the process; what it was asked fails. */
  close(): void {
    const begun = this.#begun
    this.#begun = null
    begun?.process.end()
    fail(begun?.pending, 'the pictures were closed')
  }

  #ask(question: Question): Promise<readonly GalleryPicture[]> {
    const id = ++this.#last
    this.#begun ??= this.#begin()
    const { process, pending } = this.#begun
    return new Promise((resolve, reject) => {
      pending.set(id, { resolve, reject })
      process.post({ ...question, id })
    })
  }

  #begin(): Begun {
    const begun: Begun = { process: this.#start(), pending: new Map() }
    const { process, pending } = begun
    process.onAnswer((answer) => settle(pending, answer))
    process.onExit((code) => {
      if (this.#begun === begun) this.#begun = null
      fail(pending, `the process that searches pictures ended with code ${code}`)
    })
    return begun
  }
}

function settle(pending: Map<number, Pending>, answer: GalleryAnswer): void {
  const asked = pending.get(answer.id)
  pending.delete(answer.id)
  if ('error' in answer) asked?.reject(new Error(`${answer.error.code}: ${answer.error.message}`))
  else asked?.resolve(answer.pictures)
}

function fail(pending: Map<number, Pending> | undefined, message: string): void {
  for (const { reject } of pending?.values() ?? []) reject(new Error(message))
  pending?.clear()
}
