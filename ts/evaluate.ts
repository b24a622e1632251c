/** kNN on backbone features: how often the nearest training pictures name a picture's class. */

import { ALONE, type Ranks } from './distributed/ranks.js'
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

/** Pictures embedded at a time, by all ranks together; no result depends on it. */
const EMBED_BATCH = 256

/** Embeds `source`; each batch's rows, labels and places are handed over as they come. */
export async function embedEach(
  session: Session,
  source: EmbedSource,
  use: (rows: EmbeddedRows) => void | Promise<void>,
  signal?: AbortSignal | null,
  batchSize: number = EMBED_BATCH,
): Promise<void> {
  for await (const rows of embedded(session, source, ALONE, signal, batchSize)) await use(rows)
}

/** A batch of embedded pictures. */
export interface EmbeddedRows {
  /** `[rows, featureDim]` */
  readonly features: Float32Array
  readonly labels: Int32Array | null
  /** Each row's place in the set. */
  readonly places: Uint32Array
  readonly bad: readonly BadPicture[]
}

/** A rank's part of a batch that is smaller than the number of ranks. */
const NO_ROWS: EmbeddedRows = {
  features: new Float32Array(),
  labels: null,
  places: new Uint32Array(),
  bad: [],
}

/** This rank's part of each batch, embedded. */
async function* embedded(
  session: Session,
  { loader, indices, onBad }: EmbedSource,
  ranks: Ranks,
  signal: AbortSignal | null | undefined,
  batchSize: number = EMBED_BATCH,
): AsyncGenerator<EmbeddedRows, void, void> {
  const parts: Uint32Array[] = []
  for (let i = 0; i < indices.length; i += batchSize) {
    parts.push(ranks.share(indices.slice(i, i + batchSize)))
  }
  const made = loadBatches(
    loader,
    parts.filter(({ length }) => length > 0),
    0,
  )
  try {
    for (const part of parts) {
      const next = part.length === 0 ? null : await made.next()
      if (await ranks.any(signal?.aborted === true)) throw abortOf(signal)
      if (next === null || next.done === true) {
        yield NO_ROWS
      } else {
        const { labels, bad, indices: places } = next.value
        if (bad.length > 0) onBad?.(bad)
        yield { features: await session.embed(next.value), labels, places, bad }
      }
    }
  } finally {
    await made.return()
  }
}

/** The reason of this rank's signal, or that of a signal elsewhere, which cannot be had here. */
function abortOf(signal: AbortSignal | null | undefined): unknown {
  if (signal?.aborted === true) return signal.reason
  return new DOMException('another rank was asked to stop', 'AbortError')
}

/**
 * Weighted kNN (Wu et al. 2018), as `lightly.utils.benchmarking.knn_predict`. Each rank embeds its part
 * of the references, has all of them in its index, and asks for its part of the queries.
 *
 * @throws AbortError when the signal ends it, on any rank.
 */
export async function knnScore(
  session: Session,
  references: EmbedSource,
  queries: EmbedSource,
  vote: VoteSettings,
  signal?: AbortSignal | null,
  ranks: Ranks = ALONE,
): Promise<KnnScore> {
  const dim = session.featureDim
  const index: FeatureIndex = new native.FeatureIndex(dim)
  try {
    const count = await fill(index, dim, embedded(session, references, ranks, signal), ranks)
    const mine = await ask(index, count > 0, embedded(session, queries, ranks, signal), vote)
    const all = await ranks.gather(mine)
    const right = all.reduce((sum, rank) => sum + rank.right, 0)
    const asked = all.reduce((sum, rank) => sum + rank.asked, 0)
    const top1 = asked === 0 ? 0 : right / asked
    return { top1, references: count, queries: asked, k: Math.min(vote.k, count) }
  } finally {
    index.dispose()
  }
}

/** Adds every rank's rows, in the order of the references; how many there were. */
async function fill(
  index: FeatureIndex,
  dim: number,
  references: AsyncIterable<EmbeddedRows>,
  ranks: Ranks,
): Promise<number> {
  let count = 0
  for await (const rows of references) {
    const features = await ranks.gatherRows(rows.features, dim)
    const labels = await ranks.gather([...(rows.labels ?? [])])
    if (features.length === 0) continue
    count += features.length / dim
    await index.add(features, Int32Array.from(labels.flat()))
  }
  return count
}

/** How many of this rank's queries there are, and how many the vote named right. */
async function ask(
  index: FeatureIndex,
  isFilled: boolean,
  queries: AsyncIterable<EmbeddedRows>,
  vote: VoteSettings,
): Promise<{ right: number; asked: number }> {
  let [right, asked] = [0, 0]
  for await (const { features, labels, places } of queries) {
    if (places.length === 0 || !isFilled) continue
    const winners = await index.classify(features, vote)
    asked += winners.length
    for (const [i, winner] of winners.entries()) right += winner === labels?.[i] ? 1 : 0
  }
  return { right, asked }
}
