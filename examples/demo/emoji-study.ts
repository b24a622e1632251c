/**
 * The emoji: two vendors have drawn the same 1,911 things, each in its own style. A network that has
 * only ever seen drawings, never a name, is asked which drawing of the other vendor is the nearest.
 */

import { openDataset } from '../../ts/index.js'
import type { Pixels } from '../../ts/report/png.js'
import type { NeighbourRow } from '../../ts/report/report.js'
import type { Emoji, Vendor } from './emoji.js'
import { type LearnSettings, rowsOf } from './learn.js'
import { nearest, pixelRows, shownPictures } from './pictures.js'
import { type CrossSearch, crossSearch, type Found, type Rows, slice } from './search.js'
import { type Answer, type Outcome, type Study, spread } from './study.js'

/**
 * Drawings are compared larger than they were trained on: a random crop is enlarged, so a network
 * knows things by a larger size than whole pictures have (Touvron et al. 2019, arXiv 1906.06423).
 */
const COMPARED_LARGER = 1.5
const ROWS_SHOWN = 16
const VENDORS: readonly [Vendor, Vendor] = ['google', 'twitter']
const TITLES: Readonly<Record<Vendor, string>> = { google: 'Google', twitter: 'Twitter' }

/** The study of these emoji. */
export async function emojiStudy(
  emoji: readonly Emoji[],
  size: number,
  seed: number,
): Promise<Study> {
  // All drawings of one vendor, then all of the other, in the same order.
  const data = VENDORS.flatMap((vendor) => emoji.map(({ drawings }) => drawings[vendor]))
  const dataset = await openDataset(data)
  const pairs = emoji.length
  const halves = (rows: Rows): [Rows, Rows] => {
    if (rows.count !== 2 * pairs)
      throw new Error('some drawings cannot be read; remove the emoji folder of the cache')
    return [slice(rows, 0, pairs), slice(rows, pairs, 2 * pairs)]
  }
  const ask = (rows: Rows) => crossSearch(...halves(rows), nearest)
  // The network's stride is 8 where its maps are largest.
  const comparedAt = 8 * Math.round((size * COMPARED_LARGER) / 8)
  return {
    title: 'Do two drawings show the same thing?',
    lead: `Google and Twitter have both drawn the same ${pairs.toLocaleString('en-US')} emoji. A small network looked at all ${(2 * pairs).toLocaleString('en-US')} drawings, without names or pairs, and learned by NNCLR. Then it was asked: for a drawing by one vendor, is the nearest drawing by the other vendor the same emoji?`,
    settings: { data, imageSize: size, seed, ...EMOJI_SETTINGS },
    dataset,
    answer: async (outcome: Outcome): Promise<Answer> => {
      const pixels = await ask(await pixelRows(dataset, size))
      const untrained = await ask(await rowsOf(data, outcome.untrained, comparedAt))
      const trained = await ask(await rowsOf(data, outcome.trained, comparedAt))
      const pictures = await shownPictures(
        dataset,
        data.map((_, i) => i),
      )
      return {
        scores: scoresOf({ untrained, pixels, trained, pairs, size }),
        rows: spread(ROWS_SHOWN, pairs).map((row, i) =>
          exampleRow(emoji, pictures, trained, row, i % 2 === 0),
        ),
        rowsNote: `The nearest five of the other vendor, with their cosine similarity. A frame and a tick mark the same emoji. The ${ROWS_SHOWN} queries are evenly spread over the list, not chosen.`,
      }
    },
  }
}

/**
 * What did best in trials with the few hundred steps that two cores have time for. Ten times the
 * learning rate destroyed what the untrained network has already. A left hand is not a right one, so
 * nothing is mirrored; a turned view has black corners, which on white pictures give it away.
 */
const EMOJI_SETTINGS = {
  backbone: 'resnet10',
  // A quarter of the small stem's work at 32 pixels.
  stem: 'imagenet',
  batchSize: 64,
  optimizer: 'sgd',
  baseLr: 0.06,
  temperature: 0.1,
  // Neighbours help only once they are good ones, late in so short a training.
  neighbourWarmup: 0.8,
  // As in the run that README.md shows.
  neighbourWeight: 1,
  viewLoss: 'predicted',
  transform: {
    cropScale: [0.3, 1],
    horizontalFlip: 0,
    rotation: 0,
    jitterStrength: 0.5,
    grayscale: 0.2,
    blur: 0.3,
    blurSigma: [0.1, 1],
  },
  checkpoint: { everyEpochs: 0 },
  logEverySteps: 1,
} satisfies Omit<LearnSettings, 'data'>

/** The three searches and what they ran on. */
interface Searches {
  readonly untrained: CrossSearch
  readonly pixels: CrossSearch
  readonly trained: CrossSearch
  /** Number of emoji. */
  readonly pairs: number
  /** Side of the pictures in the search by pixels. */
  readonly size: number
}

function scoresOf({ untrained, pixels, trained, pairs, size }: Searches): Answer['scores'] {
  const row = (name: string, { top1, top5 }: CrossSearch) => ({
    name,
    values: [percent(top1), percent(top5)],
  })
  return {
    columns: ['features', 'top-1', 'top-5'],
    rows: [
      row('untrained network', untrained),
      row(`raw pixels (${size} px, standardised channels)`, pixels),
      {
        ...row('trained by NNCLR', trained),
        best: trained.top1 > Math.max(untrained.top1, pixels.top1),
      },
    ],
    meaning: `Given one vendor's drawing, the trained network finds the same emoji among the other vendor's ${pairs.toLocaleString('en-US')} at the first try in ${percent(trained.top1)} of the cases, and among its first five in ${percent(trained.top5)}. Comparing raw pixels gives ${percent(pixels.top1)} and ${percent(pixels.top5)}, the same network before training ${percent(untrained.top1)} and ${percent(untrained.top5)}, guessing ${percent(1 / pairs, 2)} and ${percent(5 / pairs, 2)}. Mean of both directions.`,
  }
}

function exampleRow(
  emoji: readonly Emoji[],
  pictures: readonly Pixels[],
  { forward, backward }: CrossSearch,
  row: number,
  isForward: boolean,
): NeighbourRow {
  const [from, to] = isForward ? [0, 1] : [1, 0]
  const found: Found = isForward ? forward : backward
  const picture = (side: number, i: number): Pixels => pictures[side * emoji.length + i] as Pixels
  return {
    query: picture(from, row),
    name: emoji[row]?.name ?? '',
    detail: `by ${TITLES[VENDORS[from] as Vendor]}`,
    neighbours: Array.from(
      found.indices.subarray(row * found.k, (row + 1) * found.k),
      (i, rank) => ({
        picture: picture(to, i),
        name: emoji[i]?.name ?? '',
        similarity: found.similarities[row * found.k + rank] ?? 0,
        hit: i === row,
      }),
    ),
  }
}

function percent(share: number, decimals = 1): string {
  return `${(100 * share).toFixed(decimals)} %`
}
