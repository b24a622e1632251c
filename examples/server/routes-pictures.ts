/** What a trained network is used for: features of an uploaded picture, and pictures like it. */

import type { FastifyInstance } from 'fastify'
import type { Embedder } from 'nnclr'
import type { DataRoot } from './data-root.js'
import type { Embedders } from './embedders.js'
import { PROBLEM_SCHEMA, Problem } from './problem.js'
import type { Runs } from './runs.js'
import { uploadedPicture } from './uploads.js'

interface EmbedQuery {
  readonly run?: string
}

interface SearchQuery extends EmbedQuery {
  readonly folder: string
  readonly k: number
}

const RUN = {
  type: 'string',
  maxLength: 64,
  description: "a run's id; else the server's checkpoint",
}
const UPLOAD = {
  consumes: ['multipart/form-data', 'application/octet-stream', 'image/jpeg', 'image/png'],
}
const REFUSED = {
  400: PROBLEM_SCHEMA,
  409: PROBLEM_SCHEMA,
  413: PROBLEM_SCHEMA,
  422: PROBLEM_SCHEMA,
}

/** Adds the routes. `checkpoint` is used where no run is named. */
export function addPictureRoutes(
  app: FastifyInstance,
  around: { embedders: Embedders; runs: Runs; root: DataRoot; checkpoint: string | null },
): void {
  const { embedders, runs, root, checkpoint } = around
  const embedderOf = async (run: string | undefined): Promise<Embedder> => {
    const path = run === undefined ? checkpoint : runs.get(run).checkpoint
    if (path !== null) return embedders.of(path)
    const what = run === undefined ? 'the server was started without one' : 'the run has none yet'
    throw new Problem(409, 'CHECKPOINT', `there is no checkpoint: ${what}`)
  }

  app.post<{ Querystring: EmbedQuery }>(
    '/embed',
    {
      schema: {
        ...UPLOAD,
        summary: 'Features of a picture',
        querystring: { type: 'object', properties: { run: RUN } },
        response: {
          200: {
            type: 'object',
            properties: {
              dim: { type: 'integer' },
              features: { type: 'array', items: { type: 'number' } },
            },
          },
          ...REFUSED,
        },
      },
    },
    async (request) => {
      const picture = await uploadedPicture(request)
      const embedder = await embedderOf(request.query.run)
      const features = await embedder.embedPicture(picture)
      return { dim: features.length, features: Array.from(features) }
    },
  )

  app.post<{ Querystring: SearchQuery }>(
    '/search',
    {
      schema: {
        ...UPLOAD,
        summary: 'Pictures of a folder that are nearest to an uploaded one',
        description: 'The folder is embedded at the first search, which takes its time.',
        querystring: {
          type: 'object',
          properties: {
            folder: { type: 'string', description: 'a path within the data folder' },
            k: { type: 'integer', minimum: 1, maximum: 1000, default: 10 },
            run: RUN,
          },
          required: ['folder'],
        },
        response: {
          200: {
            type: 'object',
            properties: {
              pictures: { type: 'integer' },
              neighbours: {
                type: 'array',
                items: {
                  type: 'object',
                  properties: { path: { type: 'string' }, similarity: { type: 'number' } },
                },
              },
            },
          },
          404: PROBLEM_SCHEMA,
          ...REFUSED,
        },
      },
    },
    async (request) => {
      const { folder, k, run } = request.query
      const path = await root.resolve(folder)
      const picture = await uploadedPicture(request)
      const embedder = await embedderOf(run)
      const features = await embedder.embedPicture(picture)
      const index = await embedders.index(embedder, path)
      const neighbours = await index.search(features, k)
      return {
        pictures: index.count,
        neighbours: neighbours.map(({ path: found, similarity }) => {
          return { path: root.nameOf(found), similarity }
        }),
      }
    },
  )
}
