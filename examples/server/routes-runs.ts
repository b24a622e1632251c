/** Trainings: start, look, follow, stop. */

import type { FastifyInstance } from 'fastify'
import type { DataRoot } from './data-root.js'
import { streamEvents } from './event-stream.js'
import { PROBLEM_SCHEMA } from './problem.js'
import { RUN_REQUEST_SCHEMA, type RunRequest, withPaths } from './run-schema.js'
import type { Runs } from './runs.js'

const RUN_SCHEMA = {
  type: 'object',
  additionalProperties: true,
  properties: {
    id: { type: 'string' },
    state: { enum: ['running', 'done', 'stopped', 'failed'] },
    started: { type: 'string', format: 'date-time' },
    step: { type: 'integer' },
    steps: { type: 'integer' },
  },
} as const

const ID_SCHEMA = {
  type: 'object',
  properties: { id: { type: 'string', maxLength: 64 } },
  required: ['id'],
} as const

const NOT_FOUND = { 404: PROBLEM_SCHEMA } as const

/** Adds the routes. */
export function addRunRoutes(app: FastifyInstance, runs: Runs, root: DataRoot): void {
  app.post<{ Body: RunRequest }>(
    '/runs',
    {
      schema: {
        summary: 'Start a training',
        body: RUN_REQUEST_SCHEMA,
        response: { 201: RUN_SCHEMA, 400: PROBLEM_SCHEMA, 409: PROBLEM_SCHEMA },
      },
    },
    async (request, reply) => {
      const run = runs.start(await withPaths(request.body, root))
      return reply.code(201).header('location', `/runs/${run.id}`).send(run.view())
    },
  )

  app.get(
    '/runs',
    { schema: { summary: 'All runs', response: { 200: { type: 'array', items: RUN_SCHEMA } } } },
    async () => runs.list(),
  )

  app.get<{ Params: { id: string } }>(
    '/runs/:id',
    {
      schema: {
        summary: 'One run',
        params: ID_SCHEMA,
        response: { 200: RUN_SCHEMA, ...NOT_FOUND },
      },
    },
    async ({ params }) => runs.get(params.id).view(),
  )

  app.get<{ Params: { id: string } }>(
    '/runs/:id/events',
    {
      schema: {
        summary: 'The events of a run as server-sent events',
        description:
          'With Last-Event-ID it goes on after that event. The stream ends with the run.',
        params: ID_SCHEMA,
        headers: { type: 'object', properties: { 'last-event-id': { type: 'string' } } },
        produces: ['text/event-stream'],
      },
      // Its answer would have no end until the run has one.
      exposeHeadRoute: false,
    },
    (request, reply) => streamEvents(runs.get(request.params.id).log, request, reply),
  )

  app.delete<{ Params: { id: string } }>(
    '/runs/:id',
    {
      schema: {
        summary: 'Stop a run after its step under way, with a checkpoint',
        params: ID_SCHEMA,
        response: { 200: RUN_SCHEMA, ...NOT_FOUND },
      },
    },
    async ({ params }) => {
      const run = runs.get(params.id)
      await run.stop()
      return run.view()
    },
  )
}
