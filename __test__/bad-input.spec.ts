import { rmSync } from 'node:fs'
import { access, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { NnclrError, type TrainConfig, train } from '../ts/index.js'
import { animated, badPictures, sixteenBit } from './fixtures-bad-pictures.js'
import { picture, samples, writePictures } from './fixtures-pictures.js'
import { jsonLines, only, partsOf, tiny, told } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

// Whatever the machine has: without the plug-in there is no CUDA.
delete process.env['NNCLR_CUDA']

/** One epoch without momentum. */
const SHORT = { epochs: 1, momentum: 0 } as const

async function refused(
  t: ExecutionContext,
  changes: Partial<TrainConfig>,
  out?: string,
): Promise<NnclrError> {
  const run = train(tiny(out ?? join(await temporaryFolder(t), 'out'), changes))
  return t.throwsAsync(run, { instanceOf: NnclrError })
}

test('a folder that is missing, empty, a file or without pictures is named', async (t) => {
  const folder = await temporaryFolder(t)
  const [empty, file, none] = ['empty', 'file', 'none'].map((name) => join(folder, name))
  await mkdir(empty ?? '')
  await mkdir(none ?? '')
  await writeFile(file ?? '', 'x')
  await writeFile(join(none ?? '', 'notes.txt'), 'x')
  const expected: [string, RegExp][] = [
    [join(folder, 'missing'), /does not exist/],
    [empty ?? '', /holds no files/],
    [file ?? '', /is not a folder/],
    [none ?? '', /none of its 1 files/],
  ]
  for (const [data, reason] of expected) {
    const error = await refused(t, { data }, join(folder, 'out'))
    t.like(error, { code: 'IO', subject: data })
    t.regex(error.message, reason)
  }
  await t.throwsAsync(access(join(folder, 'out')), { code: 'ENOENT' }, 'nothing was begun')
})

test('a set without a single readable picture ends with DECODE, not in a search', async (t) => {
  const folder = await temporaryFolder(t)
  for (let i = 0; i < 8; i++) await writeFile(join(folder, `${i}.png`), 'no picture')
  const error = await refused(t, { data: folder })
  t.is(error.code, 'DECODE')
})

test('fewer pictures than a batch are said, with what to do', async (t) => {
  const error = await refused(t, { data: samples(7) })
  t.like(error, { code: 'CONFIG', subject: 'batchSize' })
  t.regex(error.message, /batchSize: got 8, expected at most the number of training pictures, 7/)
  t.regex((await refused(t, { data: samples(1), batchSize: 'auto' })).message, /at least 2/)
})

test('bad pictures are skipped, counted and listed; unusual ones are not bad', async (t) => {
  const folder = await temporaryFolder(t)
  const data = join(folder, 'pictures')
  await writePictures(data, 17)
  const bad = Object.entries(badPictures())
  for (const [name, content] of bad) await writeFile(join(data, 'red', `${name}.png`), content)
  await writeFile(join(data, 'red', 'dot.png'), picture(1, 1))
  await writeFile(join(data, 'red', 'deep.png'), sixteenBit())
  await writeFile(join(data, 'blue', 'animated.gif'), animated())
  // 24 files in 3 whole batches: each is met.
  const out = join(folder, 'out')
  const { events, result } = await told(tiny(out, { ...SHORT, data }))
  t.like(result, { badImages: 4, stopped: false, steps: 3 })
  const lines = await jsonLines(out, 'bad-images.jsonl')
  const paths = bad.map(([name]) => join(data, 'red', `${name}.png`)).sort()
  t.deepEqual(lines.map(({ path }) => path as string).sort(), paths)
  for (const { code, reason } of lines) t.true(code === 'DECODE' && String(reason).length > 5)
  const warnings = only(events, 'warning').filter(({ code }) => code === 'DATA')
  t.is(warnings.length, 4)
  t.true(warnings.every(({ message }) => paths.some((path) => message.startsWith(path))))
})

test('bad validation pictures are counted and listed beside those of training', async (t) => {
  const folder = await temporaryFolder(t)
  const [one, other] = [join(folder, 'one.png'), join(folder, 'other.png')]
  await writeFile(one, 'x')
  await writeFile(other, 'x')
  // The same place in either set.
  const data = [{ path: one, label: 'red' }, ...samples(15)]
  const validation = [{ path: other, label: 'red' }, ...samples(4)]
  const out = join(folder, 'out')
  const { events, result } = await told(tiny(out, { ...SHORT, data, validation }))
  t.is(result.badImages, 2)
  const paths = (await jsonLines(out, 'bad-images.jsonl')).map(({ path }) => path)
  t.deepEqual(paths.sort(), [one, other])
  t.is(only(events, 'warning').filter(({ code }) => code === 'DATA').length, 2)
  for (const event of only(events, 'evaluation')) t.like(event, { references: 15, queries: 4 })
})

test('more bad pictures than maxBadShare allows end the run, with the list', async (t) => {
  const bad = Array.from({ length: 12 }, () => ({ bytes: Buffer.from('x'), label: 'red' }))
  const out = join(await temporaryFolder(t), 'out')
  const error = await refused(t, { ...SHORT, data: [...samples(20), ...bad] }, out)
  t.is(error.code, 'DECODE')
  t.regex(error.message, /of 32 pictures cannot be read.*bad-images\.jsonl/)
  t.true((await jsonLines(out, 'bad-images.jsonl')).length > 10)
})

test("onBadImage 'error' stops at the first bad picture, with its path", async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'broken.png')
  await writeFile(path, picture(2).subarray(0, 100))
  const data = [{ path, label: 'blue' }, ...samples(7)]
  const error = await refused(t, { data, onBadImage: 'error' })
  t.like(error, { code: 'DECODE', subject: path })
  t.true(error.message.includes(path))
})

test('a picture that is deleted during the run is a bad picture of code IO', async (t) => {
  const folder = await temporaryFolder(t)
  const paths = await writePictures(join(folder, 'pictures'), 16)
  const config = { data: join(folder, 'pictures'), momentum: 0, cacheBytes: 0 }
  const { result } = await told(tiny(join(folder, 'out'), config), (event) => {
    if (event.type === 'epoch' && event.epoch === 1) rmSync(paths[5] ?? '')
  })
  t.like(result, { badImages: 1, epochs: 2, steps: 4 })
  const [line] = await jsonLines(join(folder, 'out'), 'bad-images.jsonl')
  t.like(line, { path: paths[5], code: 'IO' })
})

test('a loss that is no number ends the run; the checkpoints that stay are good', async (t) => {
  const out = join(await temporaryFolder(t), 'out')
  const wild = { lr: 1000, weightDecay: 10, warmupEpochs: 0, schedule: 'constant' } as const
  const saving = { checkpoint: { everySteps: 1 }, momentum: 0, epochs: 40, data: samples(8) }
  const error = await refused(t, { ...wild, ...saving }, out)
  t.like(error, { code: 'DIVERGED', subject: 'loss' })
  t.regex(error.message, /at step \d+; try a lower lr.*last good checkpoint: .*step-\d+/)
  const folder = join(out, 'checkpoints')
  const names = await readdir(folder)
  t.true(names.length > 0)
  for (const name of names) {
    const { tensors } = await partsOf(join(folder, name))
    const isSound = ([, { dtype, bytes }]: [string, { dtype: string; bytes: Buffer }]): boolean => {
      if (dtype !== 'F32') return true
      for (let i = 0; i < bytes.length; i += 4) {
        if (!Number.isFinite(bytes.readFloatLE(i))) return false
      }
      return true
    }
    const broken = [...tensors].filter((entry) => !isSound(entry)).map(([tensor]) => tensor)
    t.deepEqual(broken, [], `${name} holds numbers that are none`)
  }
})

test("device 'cuda' without a GPU is an error with the reason, not a fall back", async (t) => {
  const error = await refused(t, { device: 'cuda' })
  t.like(error, { code: 'DEVICE', subject: 'cuda' })
  t.regex(error.message, /^device cuda: .*no CUDA part of libtorch/)
})

test('wrong types from JavaScript are named all at once, in nested objects too', async (t) => {
  const wrong = { epochs: '3', data: 5, transform: { cropScale: 'x' }, evaluation: 7, seed: -1 }
  const error = await refused(t, wrong as never)
  t.is(error.code, 'CONFIG')
  const fields = error.issues.map(({ field }) => field).sort()
  t.deepEqual(fields, ['data', 'epochs', 'evaluation', 'seed', 'transform.cropScale'])
  for (const config of [undefined, null, 5, 'x', []]) {
    t.is((await t.throwsAsync(train(config as never), { instanceOf: NnclrError })).code, 'CONFIG')
  }
})

test('an unknown option is refused with the nearest one', async (t) => {
  const error = await refused(t, { batchsize: 8, memoryBank: { sise: 4 } } as never)
  const hints = Object.fromEntries(error.issues.map(({ field, hint }) => [field, hint ?? '']))
  t.deepEqual(Object.keys(hints).sort(), ['batchsize', 'memoryBank.sise'])
  t.regex(hints['batchsize'] ?? '', /batchSize/)
  t.regex(hints['memoryBank.sise'] ?? '', /memoryBank\.size/)
})
