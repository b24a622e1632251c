/** How many uploads are under way: each holds its bytes and its picture in memory. */

import { setImmediate } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from './problem.js'

interface Upload {
  /** The answer is out, or the client went away. */
  isOver: boolean
  isWorkedOn: boolean
}

/** Lets requests in up to a number. */
export class Admission {
  readonly #most: number
  readonly #uploads: Map<FastifyRequest, Upload> = new Map()
  /** When the next work may begin. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(most: number) {
    this.#most = most
  }

  /** Uploads under way. */
  get count(): number {
    return this.#uploads.size
  }

  /** Counts a request until it is over. @throws Problem 503 when there are enough */
  enter(request: FastifyRequest, reply: FastifyReply): void {
    if (this.#uploads.size >= this.#most) {
      void reply.header('retry-after', '1')
      const message = `${this.#most} uploads are under way, which is all that may be: try again`
      throw new Problem(503, 'BUSY', message)
    }
    const upload: Upload = { isOver: false, isWorkedOn: false }
    this.#uploads.set(request, upload)
    reply.raw.once('close', () => {
      upload.isOver = true
      this.#leave(request, upload)
    })
  }

  /**
   * Does a request's work, during which it counts though the client may have gone away. One begins in
   * a turn of the event loop: a burst of forms is not parsed in one go, with all else waiting.
   */
  async work<T>(request: FastifyRequest, job: () => Promise<T>): Promise<T> {
    const upload = this.#uploads.get(request)
    if (upload === undefined) return job()
    upload.isWorkedOn = true
    this.#turn = this.#turn.then(() => setImmediate())
    try {
      await this.#turn
      return await job()
    } finally {
      upload.isWorkedOn = false
      this.#leave(request, upload)
    }
  }

  #leave(request: FastifyRequest, { isOver, isWorkedOn }: Upload): void {
    if (isOver && !isWorkedOn) this.#uploads.delete(request)
  }
}
