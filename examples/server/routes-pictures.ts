/** What a trained network is used for: features of an uploaded picture, and pictures like it. */

import type { FastifyInstance } from 'fastify'
import type { Admission } from './admission.js'
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
  503: PROBLEM_SCHEMA,
}

/** What the routes work with. */
export interface PictureRoutes {
  readonly admission: Admission
  readonly embedders: Embedders
  readonly runs: Runs
  readonly root: DataRoot
  /** Used where no run is named. */
  readonly checkpoint: string | null
}

/** Adds the routes to a scope that accepts uploads. */
export function addPictureRoutes(scope: FastifyInstance, around: PictureRoutes): void {
  const { admission, embedders, runs, root, checkpoint } = around
  const checkpointOf = (run: string | undefined): string => {
    const path = run === undefined ? checkpoint : runs.get(run).checkpoint
    if (path !== null) return path
    const what = run === undefined ? 'the server was started without one' : 'the run has none yet'
    throw new Problem(409, 'CHECKPOINT', `there is no checkpoint: ${what}`)
  }

  scope.post<{ Querystring: EmbedQuery }>(
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
    (request) =>
      admission.work(request, async () => {
        const path = checkpointOf(request.query.run)
        const picture = await uploadedPicture(request)
        const features = await embedders.use(path, (embedder) => embedder.embedPicture(picture))
        return { dim: features.length, features: Array.from(features) }
      }),
  )

  scope.post<{ Querystring: SearchQuery }>(
    '/search',
    {
      schema: {
        ...UPLOAD,
        summary: 'Pictures of a folder that are nearest to an uploaded one',
        description:
          'The folder is embedded at the first search and when its list of pictures has changed, which takes its time.',
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
    (request) =>
      admission.work(request, async () => {
        const { folder: name, k, run } = request.query
        const [path, folder] = [checkpointOf(run), await root.resolve(name)]
        const picture = await uploadedPicture(request)
        return embedders.use(path, async (embedder) => {
          const features = await embedder.embedPicture(picture)
          return embedders.search(embedder, folder, async (index) => {
            const found = await index.search(features, k)
            const neighbours = found.map((one) => {
              return { path: root.nameOf(one.path), similarity: one.similarity }
            })
            return { pictures: index.count, neighbours }
          })
        })
      }),
  )
}
