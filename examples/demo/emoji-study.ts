/**
 * The emoji: two vendors have drawn the same 1,911 things, each in its own style. A network that has
 * only ever seen drawings, never a name, is asked which drawing of the other vendor is the nearest.
 */

import { openDataset } from '../../ts/index.js'
import type { Pixels } from '../../ts/report/png.js'
import type { NeighbourRow } from '../../ts/report/report.js'
import type { Emoji, Vendor } from './emoji.js'
import { rowsOf } from './learn.js'
import { nearest, pixelRows, shownPictures } from './pictures.js'
import {
  type CrossSearch,
  crossSearch,
  type Found,
  type Rows,
  slice,
  standardised,
} from './search.js'
import { type Answer, type Outcome, type Study, spread } from './study.js'

/** Side to which pictures are brought for the comparison by raw pixels. */
const PIXEL_SIZE = 32
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
  return {
    title: 'Do two drawings show the same thing?',
    lead: `Google and Twitter have both drawn the same ${pairs.toLocaleString('en-US')} emoji. A small network looked at all ${(2 * pairs).toLocaleString('en-US')} drawings, without names or pairs, and learned by NNCLR. Then it was asked: for a drawing by one vendor, is the nearest drawing by the other vendor the same emoji?`,
    settings: { data, imageSize: size, seed, ...EMOJI_SETTINGS },
    dataset,
    answer: async (outcome: Outcome): Promise<Answer> => {
      const pixels = await ask(standardised(await pixelRows(dataset, PIXEL_SIZE)))
      const untrained = await ask(await rowsOf(data, outcome.untrained))
      const trained = await ask(await rowsOf(data, outcome.trained))
      const pictures = await shownPictures(
        dataset,
        data.map((_, i) => i),
      )
      return {
        scores: scoresOf(untrained, pixels, trained, pairs),
        rows: spread(ROWS_SHOWN, pairs).map((row, i) =>
          exampleRow(emoji, pictures, trained, row, i % 2 === 0),
        ),
        rowsNote: `The nearest five of the other vendor, with their cosine similarity. A frame and a tick mark the same emoji. The ${ROWS_SHOWN} queries are evenly spread over the list, not chosen.`,
      }
    },
  }
}

/** What did best in trials on two cores; docs/log.md has the others. */
const EMOJI_SETTINGS = {
  backbone: 'resnet10',
  stem: 'small',
  checkpoint: { everyEpochs: 0 },
  logEverySteps: 1,
} as const

function scoresOf(
  untrained: CrossSearch,
  pixels: CrossSearch,
  trained: CrossSearch,
  pairs: number,
): Answer['scores'] {
  const row = (name: string, { top1, top5 }: CrossSearch) => ({
    name,
    values: [percent(top1), percent(top5)],
  })
  return {
    columns: ['features', 'top-1', 'top-5'],
    rows: [
      row('untrained network', untrained),
      row(`raw pixels (${PIXEL_SIZE} px, standardised)`, pixels),
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
