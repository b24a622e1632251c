/**
 * Puts single pictures together: while one batch is computed, the next one gathers. A lone call does
 * not wait for company; the more calls there are, the fuller the batches.
 */

import type { Embedded } from '../backbone.js'
import { pause, type Sample } from '../data/dataset.js'
import { type ErrorCode, NnclrError } from '../errors.js'

/** Embeds some pictures; those that cannot be read are in `bad` and have no row. */
export type EmbedBatch = (pictures: readonly (string | Sample)[]) => Promise<Embedded>

interface Waiting {
  readonly picture: string | Uint8Array
  resolve(features: Float32Array): void
  reject(error: unknown): void
}

/** A queue of pictures before `work`, which gets at most `most` at a time. */
export class Coalescer {
  readonly #most: number
  readonly #work: EmbedBatch
  #waiting: Waiting[] = []
  #isBusy = false

  constructor(most: number, work: EmbedBatch) {
    this.#most = most
    this.#work = work
  }

  /** Features of one picture. */
  embed(picture: string | Uint8Array): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ picture, resolve, reject })
      void this.#pump()
    })
  }

  async #pump(): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    while (this.#waiting.length > 0) {
      // Calls of the same turn of the event loop come into the first batch already.
      await Promise.resolve()
      const batch = this.#waiting.slice(0, this.#most)
      this.#waiting = this.#waiting.slice(this.#most)
      await this.#run(batch)
    }
    this.#isBusy = false
  }

  async #run(batch: readonly Waiting[]): Promise<void> {
    try {
      const pictures = batch.map(({ picture }) =>
        typeof picture === 'string' ? picture : { bytes: picture },
      )
      const { features, dim, bad } = await this.#work(pictures)
      const reasons = new Map(bad.map((picture) => [picture.index, picture]))
      let row = 0
      for (const [place, { resolve, reject }] of batch.entries()) {
        const problem = reasons.get(place)
        if (problem === undefined) resolve(features.slice(row * dim, ++row * dim))
        else reject(new NnclrError(problem.code as ErrorCode, problem.path, problem.reason))
        // What the callers do with their rows would otherwise happen in one turn of the event loop.
        await pause()
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
}
