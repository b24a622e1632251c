/**
 * Any folder of pictures: what does the network take for alike? Where sub-folders name classes, a
 * fifth is held back and classified by its nearest neighbours.
 */

import { basename } from 'node:path'
import { openDataset } from '../../ts/index.js'
import type { NeighbourRow } from '../../ts/report/report.js'
import { rowsOf } from './learn.js'
import { nearest, shownPictures } from './pictures.js'
import { slice } from './search.js'
import { type Answer, type Outcome, type Study, spread } from './study.js'

const HELD_BACK = 0.2
const ROWS_SHOWN = 12
const NEIGHBOURS = 5
/** Fewer pictures to train on are not worth holding any back. */
const FEWEST_FOR_SCORE = 50

/** The study of a folder. */
export async function folderStudy(folder: string, size: number, seed: number): Promise<Study> {
  const dataset = await openDataset(folder)
  const classes = dataset.classes ?? []
  const isScored = classes.length > 1 && dataset.length >= FEWEST_FOR_SCORE
  return {
    title: `What is alike in ${basename(folder)}?`,
    lead: `A small network looked at ${dataset.length.toLocaleString('en-US')} pictures, without labels, and learned by NNCLR what belongs together.`,
    settings: {
      data: folder,
      imageSize: size,
      seed,
      batchSize: batchFor(dataset.length),
      logEverySteps: 1,
      checkpoint: { everyEpochs: 0 },
      ...(isScored ? { validation: HELD_BACK } : {}),
    },
    dataset,
    answer: async (outcome) => ({
      scores: isScored ? scoresOf(outcome, classes.length) : null,
      rows: await exampleRows(folder, outcome.trained),
      rowsNote: `The nearest ${NEIGHBOURS} of all pictures, with their cosine similarity. ${isScored ? 'A frame and a tick mark the same class. ' : ''}The queries are evenly spread over the folder, not chosen.`,
    }),
  }
}

/** About 16 steps an epoch: a step for each epoch would learn nothing from a small folder. */
function batchFor(pictures: number): number {
  return Math.min(
    256,
    Math.max(8, Math.floor(pictures / 16)),
    Math.max(2, Math.floor(pictures * (1 - HELD_BACK))),
  )
}

function scoresOf({ learned }: Outcome, classes: number): Answer['scores'] {
  const scores = learned.events.filter((event) => event.type === 'evaluation')
  const [before, after] = [scores[0], scores.at(-1)]
  if (before === undefined || after === undefined || before === after) return null
  const words = (share: number) => `${(100 * share).toFixed(1)} %`
  return {
    columns: ['features', 'kNN top-1'],
    rows: [
      { name: 'untrained network', values: [words(before.knnTop1)] },
      {
        name: 'trained by NNCLR',
        values: [words(after.knnTop1)],
        best: after.knnTop1 > before.knnTop1,
      },
    ],
    meaning: `${after.queries.toLocaleString('en-US')} pictures were held back and classified into ${classes} classes by a vote of their ${after.k} nearest neighbours among the ${after.references.toLocaleString('en-US')} others. The labels served for this vote only, never for training.`,
  }
}

async function exampleRows(folder: string, checkpoint: string): Promise<NeighbourRow[]> {
  const rows = await rowsOf(folder, checkpoint)
  const readable = await openDataset(rows.paths)
  const queries = spread(ROWS_SHOWN, rows.count)
  const result: NeighbourRow[] = []
  for (const query of queries) {
    // The picture itself comes first and is left out.
    const found = await nearest(
      rows,
      slice(rows, query, query + 1),
      Math.min(NEIGHBOURS + 1, rows.count),
    )
    const others = Array.from(found.indices, (index, i) => ({
      index,
      similarity: found.similarities[i] ?? 0,
    }))
      .filter(({ index }) => index !== query)
      .slice(0, NEIGHBOURS)
    const [own, ...pictures] = await shownPictures(readable, [
      query,
      ...others.map(({ index }) => index),
    ])
    if (own === undefined) continue
    const classOf = (index: number) => rows.labels?.[index]
    result.push({
      query: own,
      name: basename(rows.paths[query] ?? ''),
      ...(rows.classes === null ? {} : { detail: rows.classes[classOf(query) ?? -1] ?? '' }),
      neighbours: others.flatMap(({ index, similarity }, i) => {
        const picture = pictures[i]
        const hit = rows.classes === null ? null : classOf(index) === classOf(query)
        return picture
          ? [{ picture, name: basename(rows.paths[index] ?? ''), similarity, hit }]
          : []
      }),
    })
  }
  return result
}
