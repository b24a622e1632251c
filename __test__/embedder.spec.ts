import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { Coalescer } from '../ts/embedder/coalescer.js'
import { type Embedder, embed, NnclrError, openEmbedder } from '../ts/index.js'
import { picture, samples, writePictures } from './fixtures-pictures.js'
import { tiny, told } from './fixtures-runs.js'

const ON = { threads: 1, workers: 2, device: 'cpu' } as const

let folder: string
let checkpoint: string
let embedder: Embedder

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  await writePictures(join(folder, 'pictures'), 10)
  checkpoint = (await told(tiny(join(folder, 'run'), { epochs: 1 }))).result.out
  embedder = await openEmbedder(checkpoint, ON)
})

test.after.always(async () => {
  await embedder?.close()
  await rm(folder, { recursive: true, force: true })
})

function nearly(a: Float32Array, b: Float32Array): boolean {
  const most = a.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
  return (
    a.length === b.length && a.every((value, i) => Math.abs(value - (b[i] ?? NaN)) < 1e-5 * most)
  )
}

test('it gives the features of `embed`, for sets and for single pictures', async (t) => {
  t.like(embedder, { dim: 512, imageSize: 16, device: 'cpu' })
  t.regex(embedder.checkpoint, /checkpoints.*\.safetensors$/)
  const data = join(folder, 'pictures')
  const expected = await embed({ ...ON, data, checkpoint })
  const rows = await embedder.embed(data)
  t.deepEqual(rows, expected)
  const [fromFile, fromBytes] = await Promise.all([
    embedder.embedPicture(expected.paths[0] ?? ''),
    embedder.embedPicture(picture(0)),
  ])
  t.true(nearly(fromFile, expected.features.subarray(0, 512)))
  t.true(nearly(fromBytes, fromFile))
})

test('fifty calls at once get each its own row, and a bad one fails alone', async (t) => {
  const calls = Array.from({ length: 50 }, (_, number) =>
    embedder.embedPicture(number === 7 ? picture(7).subarray(0, 90) : picture(number)),
  )
  calls.push(embedder.embedPicture(join(folder, 'missing.png')))
  const ended = await Promise.allSettled(calls)
  const failed = ended.flatMap((end, i) => (end.status === 'rejected' ? [[i, end.reason]] : []))
  t.deepEqual(
    failed.map(([i, error]) => [i, error.code, error instanceof NnclrError]),
    [
      [7, 'DECODE', true],
      [50, 'IO', true],
    ],
  )
  const all = await embedder.embed(samples(50, null))
  for (const [i, end] of ended.entries()) {
    if (end.status !== 'fulfilled') continue
    t.true(nearly(end.value, all.features.subarray(i * 512, (i + 1) * 512)), `picture ${i}`)
  }
})

test('wrong options are told together, before anything is opened', async (t) => {
  const refused = (options: object, path: unknown = checkpoint) =>
    t.throwsAsync(openEmbedder(path as string, options as never), { instanceOf: NnclrError })
  const wrong = { batchSize: 0, imageSize: 4, device: 'gpu', threads: -1, maxPixels: 1.5 }
  const error = await refused(wrong)
  t.is(error.code, 'CONFIG')
  t.deepEqual(
    error.issues.map(({ field }) => field),
    ['imageSize', 'batchSize', 'device', 'threads', 'maxPixels'],
  )
  t.regex(error.message, /batchSize: got 0, expected a whole number from 1 to 1048576/)
  t.regex((await refused({ batchSize: '8' })).message, /write the number without quotes/)
  t.regex((await refused({ batchsize: 8 })).message, /batchsize: .*did you mean 'batchSize'\?/)
  for (const options of [null, [], 7]) {
    t.is((await refused(options as unknown as object)).subject, 'options')
  }
  for (const path of [null, '', 7, 'a\0b']) {
    t.is((await refused({}, path)).subject, 'checkpoint')
  }
  const once = embed({ data: samples(2), checkpoint, batchSize: -1 })
  t.like(await t.throwsAsync(once, { instanceOf: NnclrError }), { subject: 'batchSize' })
})

test('an argument that is no picture fails alone among those that come with it', async (t) => {
  const odd = [5, null, undefined, '', 'a\0b', {}, [1, 2], new Float32Array(3)]
  const shared = new Uint8Array(new SharedArrayBuffer(64))
  const calls = [picture(1), ...odd, new Uint8Array(0), shared, picture(2)].map((one) =>
    embedder.embedPicture(one as Uint8Array),
  )
  const ended = await Promise.allSettled(calls)
  t.deepEqual(
    ended.map((end) => (end.status === 'rejected' ? end.reason.code : end.value.length)),
    [512, ...odd.map(() => 'CONFIG'), 'DECODE', 'DECODE', 512],
  )
})

test('an index finds a picture itself first, with paths and falling similarities', async (t) => {
  using index = await embedder.index(join(folder, 'pictures'))
  t.like(index, { count: 10, dim: 512, bad: [] })
  const found = await index.search(await embedder.embedPicture(picture(4)), 3)
  t.is(found.length, 3)
  t.is(found[0]?.path, join(folder, 'pictures/blue/0004.png'))
  t.is(found[0]?.path, index.paths[found[0]?.row ?? -1])
  t.true(Math.abs((found[0]?.similarity ?? 0) - 1) < 1e-5)
  const similarities = found.map(({ similarity }) => similarity)
  t.deepEqual(
    [...similarities].sort((a, b) => b - a),
    similarities,
  )
  t.is((await index.search(await embedder.embedPicture(picture(4)), 99)).length, 10)
  await t.throwsAsync(index.search(new Float32Array(512), 0), { code: 'CONFIG' })
  await t.throwsAsync(index.search(new Float32Array(3)), { code: 'SHAPE' })
})

test('a picture over the limit of pixels is refused, a signal ends an index', async (t) => {
  await using small = await openEmbedder(checkpoint, { ...ON, maxPixels: 100 })
  const error = await t.throwsAsync(small.embedPicture(picture(0)), { instanceOf: NnclrError })
  t.is(error.code, 'DECODE')
  t.regex(error.message, /20 x 20 are 400 pixels, more than the limit of 100/)
  const aborted = small.index(samples(4), { signal: AbortSignal.abort() })
  t.like(await t.throwsAsync(aborted, { any: true }), { name: 'AbortError' })
})

test('after close its calls are refused, those under way end well', async (t) => {
  const short = await openEmbedder(checkpoint, ON)
  const underWay = short.embedPicture(picture(1))
  await short.close()
  t.is((await underWay).length, 512)
  await t.throwsAsync(short.embedPicture(picture(1)), { code: 'DISPOSED' })
  await t.throwsAsync(openEmbedder(join(folder, 'nowhere')), { code: 'IO' })
})

test('while a batch is computed the next one gathers, up to the most', async (t) => {
  const sizes: number[] = []
  const work = async (pictures: readonly unknown[]) => {
    sizes.push(pictures.length)
    await new Promise((resolve) => setTimeout(resolve, 5))
    return {
      features: new Float32Array(pictures.length),
      dim: 1,
      count: pictures.length,
      paths: [],
      labels: null,
      classes: null,
      bad: [],
    }
  }
  const coalescer = new Coalescer(4, work)
  const first = coalescer.embed('a')
  await new Promise((resolve) => setImmediate(resolve))
  await Promise.all([first, ...Array.from('bcdefg', (name) => coalescer.embed(name))])
  t.deepEqual(sizes, [1, 4, 2])
})
