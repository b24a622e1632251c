/** kNN on backbone features: how often the nearest training pictures name a picture's class. */

import { loadBatches } from './loader.js'
import { type BadPicture, type FeatureIndex, type Loader, native, type Session } from './native.js'

/** Pictures to embed, in order. */
export interface EmbedSource {
  readonly loader: Loader
  readonly indices: Uint32Array
  /** Told of the pictures that could not be read. */
  readonly onBad?: (bad: readonly BadPicture[]) => void
}

/** How neighbours vote. */
export interface VoteSettings {
  readonly k: number
  readonly temperature: number
  readonly classes: number
}

/** A kNN score. */
export interface KnnScore {
  /** Share of queries whose class the vote named, 0 to 1. */
  readonly top1: number
  readonly references: number
  readonly queries: number
  /** Neighbours that voted. */
  readonly k: number
}

/** Pictures embedded at a time; no result depends on it. */
const EMBED_BATCH = 256

/** Embeds `source`; each batch's rows, labels and places are handed over as they come. */
export async function embedEach(
  session: Session,
  { loader, indices, onBad }: EmbedSource,
  use: (rows: EmbeddedRows) => void | Promise<void>,
  signal?: AbortSignal | null,
  batchSize: number = EMBED_BATCH,
): Promise<void> {
  const plan = function* (): Generator<Uint32Array> {
    for (let i = 0; i < indices.length; i += batchSize) yield indices.slice(i, i + batchSize)
  }
  for await (const batch of loadBatches(loader, plan(), 0)) {
    signal?.throwIfAborted()
    const { labels, bad, indices: places } = batch
    if (bad.length > 0) onBad?.(bad)
    await use({ features: await session.embed(batch), labels, places, bad })
  }
}

/** What `embedEach` hands over. */
export interface EmbeddedRows {
  /** `[rows, featureDim]` */
  readonly features: Float32Array
  readonly labels: Int32Array | null
  /** Each row's place in the set. */
  readonly places: Uint32Array
  readonly bad: readonly BadPicture[]
}

/**
 * Weighted kNN (Wu et al. 2018), as `lightly.utils.benchmarking.knn_predict`.
 *
 * @throws AbortError when the signal ends it.
 */
export async function knnScore(
  session: Session,
  references: EmbedSource,
  queries: EmbedSource,
  vote: VoteSettings,
  signal?: AbortSignal | null,
): Promise<KnnScore> {
  const index: FeatureIndex = new native.FeatureIndex(session.featureDim)
  try {
    let count = 0
    const add = async ({ features, labels, places }: EmbeddedRows): Promise<void> => {
      if (places.length === 0) return
      count += places.length
      await index.add(features, labels)
    }
    await embedEach(session, references, add, signal)
    let [right, asked] = [0, 0]
    const ask = async ({ features, labels, places }: EmbeddedRows): Promise<void> => {
      if (places.length === 0 || count === 0) return
      const winners = await index.classify(features, vote)
      asked += winners.length
      for (const [i, winner] of winners.entries()) right += winner === labels?.[i] ? 1 : 0
    }
    await embedEach(session, queries, ask, signal)
    const top1 = asked === 0 ? 0 : right / asked
    return { top1, references: count, queries: asked, k: Math.min(vote.k, count) }
  } finally {
    index.dispose()
  }
}
