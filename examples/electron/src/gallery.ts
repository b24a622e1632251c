/** Embedded pictures, from the app's side. A process that dies fails its calls and is made anew. */

import type { GalleryAnswer, GalleryPicture, GalleryProcess, GalleryRequest } from './messages.js'

interface Pending {
  resolve(pictures: readonly GalleryPicture[]): void
  reject(error: Error): void
}

/** Pictures shown for one. */
const NEIGHBOURS = 12

/** A request without its number. */
type Question = GalleryRequest extends infer R ? (R extends unknown ? Omit<R, 'id'> : never) : never

/** The search over one folder. */
export class Gallery {
  readonly #start: () => GalleryProcess
  readonly #pending: Map<number, Pending> = new Map()
  #process: GalleryProcess | null = null
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

  /** Ends the process. */
  close(): void {
    this.#process?.end()
    this.#process = null
  }

  #ask(question: Question): Promise<readonly GalleryPicture[]> {
    const id = ++this.#last
    this.#process ??= this.#begin()
    const { post } = this.#process
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      post({ ...question, id })
    })
  }

  #begin(): GalleryProcess {
    const begun = this.#start()
    begun.onAnswer((answer) => this.#settle(answer))
    begun.onExit((code) => {
      if (this.#process === begun) this.#process = null
      const error = new Error(`the process that searches pictures ended with code ${code}`)
      for (const { reject } of this.#pending.values()) reject(error)
      this.#pending.clear()
    })
    return begun
  }

  #settle(answer: GalleryAnswer): void {
    const pending = this.#pending.get(answer.id)
    this.#pending.delete(answer.id)
    if ('error' in answer)
      pending?.reject(new Error(`${answer.error.code}: ${answer.error.message}`))
    else pending?.resolve(answer.pictures)
  }
}
