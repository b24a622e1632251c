import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { embed, knn, NnclrError, openEmbedder } from '../ts/index.js'
import { picture, samples, writePictures } from './fixtures-pictures.js'
import { checkpointOf, type Told, tiny, told } from './fixtures-runs.js'

const ON = { threads: 1, workers: 2, device: 'cpu' } as const
/** Classes that the colours do not give away, so that a score is neither 0 nor 1. */
const odd = (number: number) => `${(number * 7) % 3}`

let folder: string
let run: Told

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  await writePictures(join(folder, 'pictures'), 10)
  const changes = { epochs: 1, momentum: 0, data: samples(24, odd), validation: 1 / 3 }
  run = await told(tiny(join(folder, 'run'), changes))
})

test.after.always(() => rm(folder, { recursive: true, force: true }))

/** Largest difference, as a share of the largest number. */
function deviation(a: Float32Array, b: Float32Array): number {
  const largest = a.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? NaN))), 0) / largest
}

test('a folder gives a row a picture, in byte order, with labels and classes', async (t) => {
  const data = join(folder, 'pictures')
  const rows = await embed({ ...ON, data, checkpoint: checkpointOf(run.result) })
  t.like(rows, { count: 10, dim: 512, classes: ['blue', 'red'], bad: [] })
  t.is(rows.features.length, 5120)
  t.true(rows.features.every(Number.isFinite))
  t.is(rows.paths[0], join(data, 'blue/0000.png'))
  t.is(rows.paths[5], join(data, 'red/0001.png'))
  t.deepEqual([...(rows.labels ?? [])], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
})

test('checkpoint, run directory and exported backbone agree, for files and bytes', async (t) => {
  const data = join(folder, 'pictures')
  const expected = await embed({ ...ON, data, checkpoint: checkpointOf(run.result) })
  for (const checkpoint of [run.result.out, run.result.exported ?? '']) {
    const { features } = await embed({ ...ON, data, checkpoint })
    t.deepEqual(features, expected.features)
  }
  const bytes = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9].map((number) => ({ bytes: picture(number) }))
  const fromMemory = await embed({ ...ON, data: bytes, checkpoint: run.result.out })
  t.deepEqual(fromMemory.features, expected.features)
  t.is(fromMemory.labels, null)
  t.true(deviation(expected.features.subarray(0, 512), expected.features.subarray(512)) > 1e-3)
})

test('evaluation.imageSize is the size of a run, of its score and of its features', async (t) => {
  const data = samples(24, odd)
  const changes = { epochs: 1, momentum: 0, data, validation: 1 / 3 }
  const runAt = (imageSize: number | 'auto') =>
    told(tiny(join(folder, `at-${imageSize}`), { ...changes, evaluation: { k: 5, imageSize } }))
  const [large, plain] = [await runAt(24), await runAt('auto')]
  const featuresOf = async (checkpoint: string, size: { imageSize?: number } = {}) =>
    (await embed({ ...ON, ...size, data, checkpoint })).features
  const own = await featuresOf(plain.result.out)
  const expected = await featuresOf(plain.result.out, { imageSize: 24 })
  t.deepEqual(own, await featuresOf(plain.result.out, { imageSize: 16 }))
  t.true(deviation(expected, own) > 1e-3)
  for (const checkpoint of [large.result.out, large.result.exported ?? '']) {
    t.deepEqual(await featuresOf(checkpoint), expected, 'training is the same, the size is another')
  }
  const options = { ...ON, data, validation: 1 / 3, k: 5, seed: 0 }
  const score = await knn({ ...options, checkpoint: plain.result.out, imageSize: 24 })
  t.is(large.result.knnTop1, score.top1)
  const opened = await openEmbedder(large.result.out, ON)
  t.is(opened.imageSize, 24)
  await opened.close()
})

test('rows do not depend on the batch they come in', async (t) => {
  const options = { ...ON, data: samples(10), checkpoint: run.result.out }
  const whole = await embed(options)
  for (const batchSize of [1, 3, 10]) {
    const parts = await embed({ ...options, batchSize })
    const off = deviation(whole.features, parts.features)
    t.true(off < 1e-5, `batches of ${batchSize} are off by ${off}`)
  }
})

test('pictures that cannot be read are listed and have no row', async (t) => {
  const path = join(folder, 'broken.png')
  await writeFile(path, picture(3).subarray(0, 200))
  const data = [
    { bytes: picture(0), label: 'a' },
    { path, label: 'b' },
    { bytes: picture(1), label: 'c' },
    { path: join(folder, 'missing.png'), label: 'a' },
  ]
  const rows = await embed({ ...ON, data, checkpoint: run.result.out, batchSize: 2 })
  t.is(rows.count, 2)
  t.is(rows.features.length, 2 * rows.dim)
  t.deepEqual([...(rows.labels ?? [])], [0, 2])
  t.deepEqual(
    rows.bad.map(({ index, code }) => [index, code]),
    [
      [1, 'DECODE'],
      [3, 'IO'],
    ],
  )
  t.is(rows.bad[0]?.path, path)
  t.true(rows.bad.every(({ reason }) => reason.length > 5))
  const good = await embed({ ...ON, data: samples(2), checkpoint: run.result.out })
  t.true(deviation(good.features, rows.features) < 1e-5)
})

test("knn of the held-back share is the run's own score", async (t) => {
  const options = { ...ON, data: samples(24, odd), checkpoint: run.result.out }
  const score = await knn({ ...options, validation: 1 / 3, k: 5 })
  t.like(score, { references: 16, queries: 8, k: 5, temperature: 0.1 })
  t.is(score.top1, run.result.knnTop1 ?? -1)
  t.true(score.top1 > 0 && score.top1 < 1, 'a score that could be missed')
})

test('knn finds each picture in the set itself, and k is at most the references', async (t) => {
  const options = { ...ON, data: samples(10, odd), checkpoint: run.result.out }
  const one = await knn({ ...options, validation: samples(10, odd), k: 1 })
  t.like(one, { top1: 1, queries: 10, references: 10 })
  const all = await knn({ ...options, validation: samples(4, odd), k: 200 })
  t.is(all.k, 10)
})

test('knn compares classes by name, whatever their numbers in either set', async (t) => {
  const data = join(folder, 'pictures')
  // All red, which is class 1 in data and the only class, 0, here.
  const validation = join(data, 'red')
  const copy = join(folder, 'only')
  await cp(validation, join(copy, 'red'), { recursive: true })
  const score = await knn({ ...ON, data, validation: copy, checkpoint: run.result.out, k: 1 })
  t.like(score, { top1: 1, queries: 5, references: 10 })
})

test('knn without labels is refused, naming the set', async (t) => {
  const options = { ...ON, checkpoint: run.result.out }
  const error = await t.throwsAsync(
    knn({ ...options, data: samples(6), validation: samples(6, null) }),
  )
  t.like(error, { name: 'NnclrError', code: 'CONFIG', subject: 'validation' })
})

test('an aborted signal ends it with an AbortError', async (t) => {
  const options = { ...ON, data: samples(6), checkpoint: run.result.out }
  const aborted = embed({ ...options, signal: AbortSignal.abort() })
  t.like(await t.throwsAsync(aborted, { any: true }), { name: 'AbortError' })
})

test('a signal that is none is a CONFIG error', async (t) => {
  const signal = new AbortController() as unknown as AbortSignal
  const options = { ...ON, data: samples(2), checkpoint: folder, validation: 0.5, signal }
  for (const call of [embed(options), knn(options)]) {
    const error = await t.throwsAsync(call, { instanceOf: NnclrError })
    t.deepEqual([error.code, error.issues[0]?.field], ['CONFIG', 'signal'])
  }
})

async function refused(t: ExecutionContext, checkpoint: string): Promise<NnclrError> {
  const options = { ...ON, data: samples(6), checkpoint, validation: samples(6) }
  const error = await t.throwsAsync(embed(options), { instanceOf: NnclrError })
  const other = await t.throwsAsync(knn(options), { instanceOf: NnclrError })
  t.is(other.code, error.code)
  t.true(error.message.includes(checkpoint), error.message)
  return error
}

test('another kind of file in place of a checkpoint is refused', async (t) => {
  const file = async (name: string, content: string | Buffer) => {
    await writeFile(join(folder, name), content)
    return join(folder, name)
  }
  const header = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.padEnd(56)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const foreign = Buffer.concat([length, Buffer.from(header), Buffer.alloc(4)])
  t.is((await refused(t, await file('picture.safetensors', picture(0)))).code, 'CHECKPOINT')
  t.is((await refused(t, await file('text.safetensors', '{}'))).code, 'CHECKPOINT')
  t.is((await refused(t, await file('empty.safetensors', ''))).code, 'CHECKPOINT')
  const other = await refused(t, await file('foreign.safetensors', foreign))
  t.is(other.code, 'CHECKPOINT')
  t.regex(other.message, /not a checkpoint of nnclr/)
  t.is((await refused(t, join(folder, 'missing.safetensors'))).code, 'IO')
  t.is((await refused(t, join(folder, 'pictures'))).code, 'CHECKPOINT')
})
