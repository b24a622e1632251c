import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { Admission } from '../examples/server/admission.js'
import { EventLog } from '../examples/server/event-log.js'
import { streamEvents } from '../examples/server/event-stream.js'
import { readOptions } from '../examples/server/options.js'
import { Problem, problemOf } from '../examples/server/problem.js'
import { Recent } from '../examples/server/recent.js'
import type { Run } from '../examples/server/run.js'
import { Runs } from '../examples/server/runs.js'
import { ToldPaths } from '../examples/server/told-paths.js'
import { acceptUploads, uploadedPicture } from '../examples/server/uploads.js'
import type { TrainEvent } from '../ts/index.js'
import { samples } from './fixtures-pictures.js'
import { temporaryFolder } from './temporary-folder.js'

const UNCHANGED = new ToldPaths([])

/** An event of about a kilobyte. */
function event(type: 'step' | 'epoch', step: number): TrainEvent {
  return { type, step, padding: 'x'.repeat(1000) } as unknown as TrainEvent
}

async function listening(t: ExecutionContext, app: FastifyInstance): Promise<string> {
  app.setErrorHandler(async (error, _request, reply) => {
    const problem = problemOf(error)
    return reply.code(problem.statusCode).send(problem)
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => {
    app.server.closeAllConnections()
    return app.close()
  })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

/** A server of one log. */
async function serveLog(
  t: ExecutionContext,
  log: EventLog,
  patienceMs?: number,
): Promise<{ app: FastifyInstance; url: string }> {
  const app = Fastify()
  app.get('/', (request, reply) => streamEvents(log, request, reply, patienceMs))
  return { app, url: await listening(t, app) }
}

const idsOf = (text: string): number[] =>
  [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))

test('a reader who comes late gets thousands of events in order, as fast as it reads', async (t) => {
  const log = new EventLog(UNCHANGED)
  for (let i = 1; i <= 5000; i++) log.append(event(i % 2 === 0 ? 'epoch' : 'step', i))
  const kept = Array.from(log.after(0), ({ id }) => id)
  t.is(kept.length, 2000 + 2500)
  const { url } = await serveLog(t, log)
  const reading = fetch(url).then((response) => response.text())
  await new Promise((resolve) => setTimeout(resolve, 50))
  for (let i = 0; i < 10; i++) log.append(event('epoch', 6000 + i))
  log.end()
  const text = await reading
  const ids = idsOf(text)
  t.is(ids.at(-1), 5010, 'the stream ends with the last event')
  t.deepEqual(
    ids,
    [...new Set(ids)].sort((a, b) => a - b),
    'in order, none twice',
  )
  t.true(kept.every((id) => ids.includes(id)))
  const rest = await fetch(url, { headers: { 'last-event-id': '5008' } })
  t.deepEqual(idsOf(await rest.text()), [5009, 5010])
})

test('a reader who takes nothing is cut off after a while', async (t) => {
  const log = new EventLog(UNCHANGED)
  for (let i = 1; i <= 20_000; i++) log.append(event('epoch', i))
  const { url } = await serveLog(t, log, 200)
  const begun = performance.now()
  const { ms, isWhole } = await new Promise<{ ms: number; isWhole: boolean }>((resolve) => {
    httpRequest(url, (response) => {
      response.on('error', () => {})
      const end = () => resolve({ ms: performance.now() - begun, isWhole: response.complete })
      response.on('close', end)
      // Until then it takes what the kernel buffers, and nothing more.
      setTimeout(() => response.resume(), 1000)
    }).end()
  })
  t.true(ms >= 200)
  t.false(isWhole)
})

test('events of a run that were let go are 410, and a wrong number 400', async (t) => {
  const log = new EventLog(UNCHANGED)
  log.append(event('epoch', 1))
  log.end()
  const { url } = await serveLog(t, log)
  t.is((await fetch(url, { headers: { 'last-event-id': 'x' } })).status, 400)
  log.forget()
  const gone = await fetch(url)
  t.is(gone.status, 410)
  t.like(await gone.json(), { code: 'FORGOTTEN' })
})

test('what is let go is closed when its last user is done, and what failed is tried anew', async (t) => {
  const closed: string[] = []
  const recent = new Recent<string>(1, (value) => closed.push(value))
  let finish = (): void => {}
  const wait = new Promise<void>((resolve) => {
    finish = resolve
  })
  const first = recent.use(
    'a',
    async () => 'A',
    () => wait,
  )
  t.is(
    await recent.use(
      'b',
      async () => 'B',
      async (value) => value,
    ),
    'B',
  )
  t.deepEqual(closed, [], 'the first is in use')
  finish()
  await first
  await new Promise((resolve) => setImmediate(resolve))
  t.deepEqual(closed, ['A'])
  const broken = recent.use(
    'c',
    () => Promise.reject(new Error('no')),
    async () => 1,
  )
  await t.throwsAsync(broken, { message: 'no' })
  t.is(
    await recent.use(
      'c',
      async () => 'C',
      async (value) => value,
    ),
    'C',
  )
  await recent.clear()
  t.deepEqual(closed, ['A', 'B', 'C'])
})

test('uploads above the bound get 503, and who hangs up does not keep a place', async (t) => {
  const admission = new Admission(2)
  const app = Fastify()
  let finish = (): void => {}
  const held = new Promise<void>((resolve) => {
    finish = resolve
  })
  const uploads: FastifyPluginAsync = async (scope) => {
    await acceptUploads(scope, 1000, admission)
    scope.post('/', (request) =>
      admission.work(request, async () => {
        const { length } = await uploadedPicture(request)
        if (length === 1) await held
        return { length }
      }),
    )
  }
  await app.register(uploads)
  const url = await listening(t, app)
  const send = (bytes: number, signal?: AbortSignal) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'image/png' },
      body: new Uint8Array(bytes),
      ...(signal === undefined ? {} : { signal }),
    })
  const until = async (count: number) => {
    for (let i = 0; i < 200 && admission.count !== count; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    t.is(admission.count, count)
  }
  const hangUp = new AbortController()
  const [first, second] = [send(1), send(1, hangUp.signal)]
  await until(2)
  const refused = await send(2)
  t.is(refused.status, 503)
  t.is(refused.headers.get('retry-after'), '1')
  t.like(await refused.json(), { code: 'BUSY' })
  hangUp.abort()
  await t.throwsAsync(second, { any: true })
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.is(admission.count, 2, 'its work is still under way')
  finish()
  t.is((await first).status, 200)
  await until(0)

  // Cut off amid their bodies, as bytes and as forms.
  for (const type of ['image/png', 'multipart/form-data; boundary=x']) {
    for (const ms of [50, 0]) {
      const headers = { 'content-type': type, 'content-length': 900 }
      const sending = httpRequest(url, { method: 'POST', headers })
      sending.on('error', () => {})
      sending.write('--x\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\nabc')
      await until(1)
      setTimeout(() => sending.destroy(), ms)
      await until(0)
    }
  }
  t.is((await send(2)).status, 200)
})

test('paths of the machine are told as names, wherever they stand', (t) => {
  const told = new ToldPaths([
    { path: '/srv/data', name: '' },
    { path: '/srv/data/runs', name: 'runs' },
    { path: '/', name: 'all' },
  ])
  t.is(told.text('cannot read /srv/data/cats/1.png: gone'), 'cannot read cats/1.png: gone')
  t.is(told.text('no pictures in /srv/data'), 'no pictures in .')
  t.is(told.text("'/srv/data/runs/a/b', '/srv/data/runs'"), "'runs/a/b', 'runs'")
  t.is(told.text('/srv/database /x/srv/data/y'), '/srv/database /x/srv/data/y')
  const signal = new AbortController().signal
  t.is(
    told.json({ config: { data: '/srv/data/a', signal }, n: 1 }),
    '{"config":{"data":"a"},"n":1}',
  )
})

test('a server that stops begins no run', async (t) => {
  const folder = await temporaryFolder(t)
  const runs = new Runs({ folder, maxRunning: 1, memoryLimit: null, told: UNCHANGED })
  await runs.stopAll()
  t.throws(() => runs.start({ data: folder }), { instanceOf: Problem, code: 'STOPPING' })
})

test('a run above the memory limit fails alone, and old logs are let go', async (t) => {
  const folder = await temporaryFolder(t)
  const limited = new Runs({ folder, maxRunning: 64, memoryLimit: 64, told: UNCHANGED })
  // Long enough that the limit, looked at ten times a second, ends it.
  const run = limited.start({ data: samples(64), epochs: 1000, evaluation: { every: 0 } })
  await run.over
  t.is(run.view().error?.code, 'PROCESS')
  t.regex(run.view().error?.message ?? '', /64 MiB|memory/)

  const runs = new Runs({ folder, maxRunning: 64, memoryLimit: null, told: UNCHANGED })
  const failed: Run[] = []
  for (let i = 0; i < 22; i++) {
    // Refused before a process is made for it.
    const one = runs.start({ data: folder, epochs: -1 })
    await one.over
    failed.push(one)
  }
  t.is(failed[21]?.view().error?.code, 'CONFIG')
  t.deepEqual(
    failed.map(({ log }) => log.isForgotten),
    failed.map((_, i) => i < 2),
  )
  t.is(runs.list().length, 22)
})

test('the bounds are flags with ranges', (t) => {
  const env = { NNCLR_TOKEN: 'a-token-of-enough-letters' }
  t.like(readOptions(['--root', '.'], env), { maxUploads: 64, maxRunning: 1, memoryLimit: null })
  const given = ['--root', '.', '--max-uploads', '8', '--memory-limit', '4000']
  t.like(readOptions(given, env), { maxUploads: 8, memoryLimit: 4000 })
  for (const [flag, value] of [
    ['--memory-limit', '1'],
    ['--max-uploads', '0'],
  ] as const) {
    t.throws(() => readOptions(['--root', '.', flag, value], env), {
      message: new RegExp(`^${flag}: got '${value}', expected a whole number from`),
    })
  }
})
