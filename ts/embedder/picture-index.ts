/** Embedded pictures that can be searched by cosine similarity. */

import type { Embedded } from '../backbone.js'
import { NnclrError } from '../errors.js'
import { type BadPicture, native } from '../native.js'

/** A picture near to another one. */
export interface Neighbour {
  /** Its path, `<bytes>` when it came from memory. */
  readonly path: string
  /** Its place among the rows. */
  readonly row: number
  /** Cosine similarity, -1 to 1. */
  readonly similarity: number
}

/** A searchable set of pictures. */
export interface PictureIndex extends Disposable {
  /** Pictures that can be found. */
  readonly count: number
  /** Length of a feature row. */
  readonly dim: number
  /** Path of each row. */
  readonly paths: readonly string[]
  /** Pictures that could not be read. */
  readonly bad: readonly BadPicture[]
  /**
   * The nearest pictures, best first: `k`, or all when there are fewer.
   *
   * @param features a row as `embedPicture` gives it
   * @param k from 1. @default 10
   * @throws NnclrError CONFIG for a wrong `k`, SHAPE for a row of another length, DISPOSED
   */
  search(features: Float32Array, k?: number): Promise<Neighbour[]>
  /** Lets the rows go. */
  close(): void
}

/** Makes an index of rows. */
export async function indexOf(embedded: Embedded): Promise<PictureIndex> {
  const { count, dim, paths, bad, features } = embedded
  const index = new native.FeatureIndex(dim)
  if (count > 0) await index.add(features)
  const search = async (query: Float32Array, k = 10): Promise<Neighbour[]> => {
    if (!Number.isSafeInteger(k) || k < 1) {
      throw NnclrError.config([{ field: 'k', value: String(k), expected: 'a whole number from 1' }])
    }
    if (query.length !== dim) {
      throw new NnclrError('SHAPE', 'features', `got ${query.length} numbers, expected ${dim}`)
    }
    if (count === 0) return []
    try {
      const { indices, similarities } = await index.search(query, Math.min(k, count))
      return Array.from(indices, (row, i) => ({
        path: paths[row] ?? '',
        row,
        similarity: similarities[i] ?? Number.NaN,
      }))
    } catch (error) {
      throw NnclrError.from(error)
    }
  }
  const close = (): void => index.dispose()
  return { count, dim, paths, bad, search, close, [Symbol.dispose]: close }
}
