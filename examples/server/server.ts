/** The server, ready to listen: routes, limits, errors, and an orderly end. */

import { mkdir, realpath } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { systemInfo } from 'nnclr'
import { Admission } from './admission.js'
import { requireToken } from './auth.js'
import { watchConnections } from './connections.js'
import { DataRoot } from './data-root.js'
import { Embedders } from './embedders.js'
import type { ServerOptions } from './options.js'
import { problemOf } from './problem.js'
import { addPictureRoutes } from './routes-pictures.js'
import { addRunRoutes } from './routes-runs.js'
import { Runs } from './runs.js'
import { type NamedPath, ToldPaths } from './told-paths.js'
import { acceptUploads } from './uploads.js'
import { compileValidator } from './validator.js'

/** Configurations are small; uploads have a limit of their own. */
const MOST_JSON_BYTES = 64 * 1024
/** How often the event loop is looked at; a percentile is at least this. */
const DELAY_RESOLUTION_MS = 1
const NS_PER_MS = 1e6

/** Makes the server. `close()` stops the runs with a checkpoint and lets connections finish. */
export async function makeServer(options: ServerOptions): Promise<FastifyInstance> {
  // Opening libtorch holds the event loop up for a good half second: now, when nobody waits.
  await systemInfo()
  const root = await DataRoot.open(options.root)
  await mkdir(options.runs, { recursive: true })
  const folder = await realpath(options.runs)
  const checkpoint = options.checkpoint === null ? null : resolve(options.checkpoint)
  const told = new ToldPaths(namedPaths(root.path, folder, checkpoint))
  const { maxRunning, memoryLimit } = options
  const runs = new Runs({ folder, maxRunning, memoryLimit, told })
  const embedders = new Embedders(options.maxPixels)
  const admission = new Admission(options.maxUploads)
  const app = Fastify({
    bodyLimit: MOST_JSON_BYTES,
    // Slow senders end here instead of holding a connection for ever.
    requestTimeout: 60_000,
    // Fastify's ten seconds count for the end too, and a run stops after its step and its checkpoint.
    pluginTimeout: 0,
    forceCloseConnections: 'idle',
    return503OnClosing: true,
  })
  app.setValidatorCompiler(compileValidator)
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })
  delay.enable()

  app.setErrorHandler(async (error, request, reply) => {
    const { message, ...problem } = problemOf(error)
    if (problem.statusCode === 500) request.log.error(error)
    // The rest of a refused upload is read and thrown away: a connection that is closed while the
    // client still sends takes the answer with it. `requestTimeout` bounds it.
    if (problem.statusCode === 413) void reply.removeHeader('connection')
    return reply.code(problem.statusCode).send({ ...problem, message: told.text(message) })
  })
  app.setNotFoundHandler(async (_request, reply) => {
    const message = 'there is nothing here; /openapi.json tells what is where'
    return reply.code(404).send({ statusCode: 404, code: 'NOT_FOUND', message })
  })
  if (options.token !== null) requireToken(app, options.token)
  await app.register(swagger, { openapi: openApiOf(options.token !== null) })
  app.after(() => {
    addRunRoutes(app, runs, root)
    app.get('/healthz', { schema: { summary: 'Whether the server is well' } }, async () => {
      // Of the time since the last look.
      const eventLoopP99Ms = delay.percentile(99) / NS_PER_MS
      delay.reset()
      return { status: 'ok', running: runs.running, uploads: admission.count, eventLoopP99Ms }
    })
    app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  })
  // Only these routes take anything but JSON.
  const pictures: FastifyPluginAsync = async (scope) => {
    await acceptUploads(scope, options.maxUpload, admission)
    addPictureRoutes(scope, { admission, embedders, runs, root, checkpoint })
  }
  await app.register(pictures)
  const finishConnections = watchConnections(app.server)
  // Before connections are waited for: streams of events end with their runs.
  app.addHook('preClose', async () => {
    await runs.stopAll()
    finishConnections()
  })
  app.addHook('onClose', async () => {
    await embedders.close()
    delay.disable()
  })
  await app.ready()
  return app
}

/** What clients read in place of this machine's paths. */
function namedPaths(root: string, runs: string, checkpoint: string | null): NamedPath[] {
  const folders = [
    { path: root, name: '' },
    { path: runs, name: 'runs' },
  ]
  return checkpoint === null
    ? folders
    : [...folders, { path: checkpoint, name: basename(checkpoint) }]
}

/** What the OpenAPI document says beside the routes. */
function openApiOf(hasToken: boolean): NonNullable<FastifyDynamicSwaggerOptions['openapi']> {
  const bearer = { type: 'http', scheme: 'bearer' } as const
  return {
    openapi: '3.1.0',
    info: { title: 'nnclr', description: 'Train, embed and search pictures.', version: '1' },
    ...(hasToken
      ? { components: { securitySchemes: { bearer } }, security: [{ bearer: [] }] }
      : {}),
  }
}
