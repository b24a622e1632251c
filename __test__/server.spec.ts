import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { embed } from '../ts/index.js'
import { picture, writePictures } from './fixtures-pictures.js'
import { TINY, tiny, told } from './fixtures-runs.js'
import {
  ask,
  bomb,
  readEvents,
  type Server,
  sendZeros,
  spawnServer,
  startServer,
  TOKEN,
} from './fixtures-server.js'

const MiB = 2 ** 20

let folder: string
let checkpoint: string
let server: Server

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  await writePictures(join(folder, 'data/pictures'), 24)
  await writePictures(join(folder, 'outside'), 2)
  await mkdir(join(folder, 'data/empty'))
  await symlink(join(folder, 'outside'), join(folder, 'data/link'))
  checkpoint = (await told(tiny(join(folder, 'trained'), { epochs: 1 }))).result.out
  const [data, runs] = [join(folder, 'data'), join(folder, 'runs')]
  const bounds = ['--max-uploads', '64', '--memory-limit', '8000']
  server = await startServer('--root', data, '--runs', runs, '--checkpoint', checkpoint, ...bounds)
})

test.after.always(async () => {
  server?.process.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

/** A training that only ends when it is stopped, and that computes all the time. */
const ENDLESS = {
  ...TINY,
  data: 'pictures',
  epochs: 100_000,
  imageSize: 32,
  batchSize: 24,
  checkpoint: { everyEpochs: 0 },
  evaluation: { every: 0 },
}
/** The delay of the event loop that 99 of 100 looks stay below, in ms. */
const MOST_DELAY_MS = 20

/** What this process gets of a core when it wants one: less than 1 where other programs want it too. */
function shareOfCore(): number {
  const [began, before] = [performance.now(), process.cpuUsage()]
  while (performance.now() - began < 100);
  const { user, system } = process.cpuUsage(before)
  return Math.min(1, (user + system) / 1000 / (performance.now() - began))
}

test.serial('without the token nothing but health and documentation is served', async (t) => {
  const bare = async (path: string, authorization?: string) =>
    fetch(server.url + path, authorization === undefined ? {} : { headers: { authorization } })
  t.is((await bare('/healthz')).status, 200)
  t.is((await bare('/openapi.json')).status, 200)
  for (const given of [undefined, 'Bearer wrong', `Bearer ${TOKEN}x`, TOKEN, `Basic ${TOKEN}`]) {
    const refused = await bare('/runs', given)
    t.is(refused.status, 401, given)
    t.is(refused.headers.get('www-authenticate'), 'Bearer')
  }
  t.is((await bare('/nothing', undefined)).status, 401, 'unknown paths tell nothing either')
  t.is((await bare('/runs', `Bearer ${TOKEN}`)).status, 200)
})

test.serial('it does not start without a token, or with a short one', async (t) => {
  const words = ['--root', join(folder, 'data'), '--port', '0']
  const none = await spawnServer(words, {}).ended
  t.is(none.code, 2)
  t.regex(none.stderr, /NNCLR_TOKEN is not set: set it, or say --insecure/)
  const short = await spawnServer(words, { NNCLR_TOKEN: 'short' }).ended
  t.is(short.code, 2)
  t.regex(short.stderr, /at least 16 characters/)
})

test.serial('the OpenAPI document names every request and the fields of a training', async (t) => {
  const document = (await ask(server, 'GET', '/openapi.json')).body as {
    openapi: string
    paths: Record<string, Record<string, { requestBody?: { content: object } }>>
  }
  t.is(document.openapi, '3.1.0')
  t.deepEqual(Object.keys(document.paths).sort(), [
    '/embed',
    '/healthz',
    '/runs',
    '/runs/{id}',
    '/runs/{id}/events',
    '/search',
  ])
  const body = JSON.stringify(document.paths['/runs']?.['post']?.requestBody)
  for (const field of ['batchSize', 'memoryBank', 'cropScale']) t.true(body.includes(field), field)
  t.false(body.includes('overwrite'))
})

test.serial('a training with wrong fields or paths that lead out is refused', async (t) => {
  const start = (changes: object) => ask(server, 'POST', '/runs', { data: 'pictures', ...changes })
  for (const [changes, words] of [
    [{ epochs: '5' }, /epochs must be integer/],
    [{ batchsize: 8 }, /additional properties/],
    [{ out: '/tmp/x' }, /additional properties/],
    [{ data: ['pictures'] }, /data must be string/],
    [{ data: '../outside' }, /not a relative path within the data folder/],
    [{ data: 'pictures/../../outside' }, /within the data folder/],
    [{ data: join(folder, 'outside') }, /within the data folder/],
    [{ data: 'link' }, /within the data folder/],
    [{ data: 'a\\..\\b' }, /within the data folder/],
    [{ validation: '../outside' }, /within the data folder/],
    [{ weights: '/etc/passwd' }, /within the data folder/],
  ] as const) {
    const { status, body } = await start(changes)
    t.is(status, 400, JSON.stringify(changes))
    t.regex(String(body['message']), words)
  }
  t.is((await start({ data: 'nowhere' })).status, 404)
  t.is((await ask(server, 'GET', '/runs/nothing')).status, 404)
  const begun = performance.now()
  const binary = await ask(server, 'POST', '/runs', Buffer.alloc(8 * MiB))
  t.is(binary.status, 415, 'bytes are not validated as if they were JSON')
  const form = new FormData()
  form.append('picture', new Blob([new Uint8Array(8 * MiB)]), 'x.png')
  t.is((await ask(server, 'POST', '/runs', form)).status, 415)
  const wrong = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`x${i}`, i]))
  const answer = await ask(server, 'POST', '/runs', { data: 'pictures', ...wrong })
  t.is(answer.status, 400)
  t.true(JSON.stringify(answer.body).length < 500, 'the first problem is told')
  t.true(performance.now() - begun < 2000)
  const huge = await ask(server, 'POST', '/runs', { data: 'x'.repeat(100_000) })
  t.is(huge.status, 413)
  t.deepEqual((await ask(server, 'GET', '/runs')).body as object, [])
})

test.serial(
  'fifty pictures are embedded at once while a training runs and its events are read, cut off and resumed',
  async (t) => {
    const started = await ask(server, 'POST', '/runs', ENDLESS)
    t.is(started.status, 201, JSON.stringify(started.body))
    const id = String(started.body['id'])
    const headers = { authorization: `Bearer ${TOKEN}` }
    const head = await fetch(`${server.url}/runs/${id}/events`, { method: 'HEAD', headers })
    t.is(head.status, 404, 'a HEAD of the events does not wait for the end of the run')
    t.is((await ask(server, 'POST', '/runs', ENDLESS)).status, 409, 'one at a time')

    const first = await readEvents(server, id, 0, (events) => events.length >= 4)
    t.is(first[0]?.event, 'start')
    t.deepEqual(
      Object.keys(Object(first[0]?.data['config'])).filter((key) => key === 'signal'),
      [],
    )
    const last = first.at(-1)?.id ?? 0
    const second = await readEvents(server, id, last, (events) => events.length >= 3)
    const ids = [...first, ...second].map((event) => event.id)
    t.deepEqual(
      ids,
      ids.map((_, i) => i + 1),
      'nothing is missing and nothing comes twice',
    )

    const pictures = Array.from({ length: 50 }, (_, number) => picture(number))
    // The first one loads libtorch and the network.
    t.is((await ask(server, 'POST', '/embed', picture(0))).status, 200)
    const embedAll = () =>
      Promise.all(pictures.map((bytes) => ask(server, 'POST', '/embed', bytes)))
    const answers = await embedAll()
    t.true(answers.every(({ status }) => status === 200))
    const seconds: { delay: number; share: number }[] = []
    const isFree = (): boolean => seconds.some((one) => one.delay * one.share < MOST_DELAY_MS)
    // Another program's burst spoils one second, a server that computes in its event loop every one.
    while (seconds.length < 8 && !isFree()) {
      const share = shareOfCore()
      await ask(server, 'GET', '/healthz')
      const begun = performance.now()
      while (performance.now() - begun < 1000) await embedAll()
      const health = (await ask(server, 'GET', '/healthz')).body
      t.like(health, { status: 'ok', running: 1 })
      seconds.push({ delay: Number(health['eventLoopP99Ms']), share })
    }
    const told = seconds.map((one) => `${one.delay.toFixed(1)} ms at ${one.share.toFixed(2)} cores`)
    t.log(`p99 of the event loop's delay: ${told.join(', ')}`)
    t.true(isFree(), told.join(', '))
    const expected = await embed({
      data: pictures.map((bytes) => ({ bytes })),
      checkpoint,
      device: 'cpu',
    })
    for (const [i, { body }] of answers.entries()) {
      const features = body['features'] as number[]
      const row = expected.features.subarray(512 * i, 512 * (i + 1))
      const most = row.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
      t.true(
        features.every((value, at) => Math.abs(value - (row[at] ?? NaN)) < 2e-2 * most),
        `${i}`,
      )
    }

    const rest = readEvents(server, id, ids.at(-1) ?? 0)
    const stopped = await ask(server, 'DELETE', `/runs/${id}`)
    t.like(stopped, { status: 200, body: { state: 'stopped' } })
    const result = stopped.body['result'] as { stopped: boolean; checkpoint: string }
    t.true(result.stopped)
    t.true(result.checkpoint.startsWith(`runs/${id}/checkpoints/`), result.checkpoint)
    t.is(Object(first[0]?.data['config'])['data'], 'pictures', 'paths of this machine are not told')
    t.false(JSON.stringify([first, second, stopped.body]).includes(folder))
    t.is((await rest).at(-1)?.event, 'end', 'the stream ends with the run')
    t.is((await ask(server, 'DELETE', `/runs/${id}`)).status, 200, 'again is no mistake')
    const own = await ask(server, 'POST', `/embed?run=${id}`, picture(0))
    t.like(own, { status: 200, body: { dim: 512 } })
  },
)

test.serial('a search names the nearest pictures with paths from the data folder', async (t) => {
  const form = new FormData()
  form.append('picture', new Blob([new Uint8Array(picture(6))]), 'mine.png')
  const { status, body } = await ask(server, 'POST', '/search?folder=pictures&k=3', form)
  t.is(status, 200, JSON.stringify(body))
  const found = body['neighbours'] as { path: string; similarity: number }[]
  t.is(body['pictures'], 24)
  t.is(found.length, 3)
  t.is(found[0]?.path, 'pictures/blue/0006.png')
  t.true((found[0]?.similarity ?? 0) > 0.999)
  t.is((await ask(server, 'POST', '/search?folder=../outside', picture(1))).status, 400)
  t.is((await ask(server, 'POST', '/search?folder=pictures&k=0', picture(1))).status, 400)
  t.is((await ask(server, 'POST', '/embed?run=nothing', picture(1))).status, 404)

  const folder422 = await ask(server, 'POST', '/search?folder=empty', picture(1))
  t.is(folder422.status, 422)
  t.regex(String(folder422.body['message']), /^no pictures in empty/)
  await writeFile(join(folder, 'data/pictures/blue/new.png'), picture(6))
  const again = await ask(server, 'POST', '/search?folder=pictures&k=2', picture(6))
  t.is(again.body['pictures'], 25, 'a folder whose list has changed is embedded anew')
  await rm(join(folder, 'data/pictures/blue/new.png'))
})

test.serial('bad uploads get 4xx and nothing else', async (t) => {
  const cases: [string, Uint8Array, number][] = [
    ['truncated', picture(3).subarray(0, 120), 422],
    ['bomb', bomb(), 422],
    ['not a picture', Buffer.from('<html>hello</html>'), 422],
    ['nothing', Buffer.alloc(0), 400],
    ['too large', Buffer.alloc(21 * MiB), 413],
  ]
  for (const [what, bytes, expected] of cases) {
    const raw = await ask(server, 'POST', '/embed', bytes)
    t.is(raw.status, expected, `${what}: ${JSON.stringify(raw.body)}`)
    const form = new FormData()
    form.append('picture', new Blob([new Uint8Array(bytes)]), 'x.png')
    t.is((await ask(server, 'POST', '/embed', form)).status, expected, `${what} in a form`)
  }
  const json = await ask(server, 'POST', '/embed', { picture: 'x' })
  t.true(json.status === 400 || json.status === 415)
  t.is((await ask(server, 'POST', '/embed', new FormData())).status, 400)
  for (const type of ['application/octet-stream', 'multipart/form-data; boundary=x']) {
    t.is(await sendZeros(server, '/embed', 100 * MiB, type), 413, type)
  }
  const good = Array.from({ length: 4 }, (_, i) => ask(server, 'POST', '/embed', picture(i)))
  const mixed = await Promise.all([...good, ask(server, 'POST', '/embed', Buffer.from('no'))])
  t.deepEqual(
    mixed.map(({ status }) => status),
    [200, 200, 200, 200, 422],
  )
})

test.serial(
  'SIGTERM stops the run with a checkpoint, finishes requests and ends with 0',
  async (t) => {
    const started = await ask(server, 'POST', '/runs', ENDLESS)
    const id = String(started.body['id'])
    await readEvents(server, id, 0, (events) => events.some(({ event }) => event === 'step'))
    const events = readEvents(server, id, 0)
    const underWay = ask(server, 'POST', '/embed', picture(1))
    await new Promise((resolve) => setTimeout(resolve, 20))
    server.process.kill('SIGTERM')
    t.is((await underWay).status, 200)
    const end = (await events).at(-1)
    t.is(end?.event, 'end')
    t.like(end?.data, { result: { stopped: true } })
    const { code, stderr } = await server.ended
    t.is(code, 0, stderr)
    t.is(stderr, '')
  },
)
