import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { restoreNewest } from '../ts/checkpoint.js'
import { fitToSet, resolveConfig } from '../ts/config.js'
import { NnclrError, type TrainConfig, train } from '../ts/index.js'
import type { Session } from '../ts/native.js'
import { RunDirectory } from '../ts/run-directory.js'
import { createSession } from '../ts/session.js'
import { damage, rewriteCheckpoint } from './fixtures-checkpoint.js'
import { samples } from './fixtures-pictures.js'
import { checkpointOf, differing, only, partsOf, type Told, tiny, told } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** One step an epoch; no momentum, for files of half the size. */
const THREE: Partial<TrainConfig> = {
  epochs: 3,
  data: samples(8),
  momentum: 0,
  lrEnd: 0.01,
  checkpoint: { keep: 2 },
}

let done: string
let finished: Told
let session: Session

test.before(async () => {
  done = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  const config = tiny(done, THREE)
  finished = await told(config)
  session = await createSession(fitToSet(resolveConfig(config), 8))
})

test.after.always(async () => {
  session?.dispose()
  await rm(done, { recursive: true, force: true })
})

interface Copy {
  readonly out: string
  readonly newest: string
  readonly older: string
}

/** The finished run's directory with its two checkpoints. */
async function copyOf(t: ExecutionContext): Promise<Copy> {
  const out = join(await temporaryFolder(t), 'run')
  await cp(done, out, { recursive: true })
  const [older = '', newest = ''] = (await readdir(join(out, 'checkpoints'))).sort()
  return { out, newest: join(out, 'checkpoints', newest), older: join(out, 'checkpoints', older) }
}

const flip = (at: number, bit: number) => (file: Buffer) => {
  file[at] = (file[at] ?? 0) ^ (1 << bit)
  return file
}
const flipIn = (text: string) => (file: Buffer) => flip(file.indexOf(text) + 1, 0)(file)

/** What may happen to a file; each leaves the run the checkpoint before. */
const TROUBLE: Record<string, (copy: Copy, dataAt: number) => Promise<unknown>> = {
  'is missing half': ({ newest }) => damage(newest, (file) => file.subarray(0, file.length / 2)),
  'is missing a byte': ({ newest }) => damage(newest, (file) => file.subarray(0, -1)),
  'ends in its header': ({ newest }) => damage(newest, (file) => file.subarray(0, 500)),
  'is empty': ({ newest }) => writeFile(newest, ''),
  'is all zeros': ({ newest }) => damage(newest, (file) => file.fill(0)),
  'is zeros at its end': ({ newest }) => damage(newest, (file) => file.fill(0, file.length - 4096)),
  'has a flipped bit in its length': ({ newest }) => damage(newest, flip(1, 3)),
  'has a flipped bit in the highest byte of its length': ({ newest }) => damage(newest, flip(7, 6)),
  'has a flipped bit in a name': ({ newest }) => damage(newest, flipIn('conv1.weight')),
  'has a flipped bit in a shape': ({ newest }) => damage(newest, flipIn('"shape"')),
  'has a flipped bit in its metadata': ({ newest }) => damage(newest, flipIn('stepInEpoch')),
  'has a flipped bit in its checksum': ({ newest }) => damage(newest, flipIn('"sha256"')),
  'has a flipped bit in its first number': ({ newest }, at) => damage(newest, flip(at, 0)),
  'has a flipped bit amid its numbers': ({ newest }, at) => damage(newest, flip(at + 999_999, 7)),
  'has a flipped bit in its last byte': ({ newest }) =>
    damage(newest, (file) => flip(file.length - 1, 4)(file)),
  'is no checkpoint at all': ({ newest }) => writeFile(newest, 'x'.repeat(2000)),
  'is an exported backbone': ({ out, newest }) => cp(join(out, 'backbone.safetensors'), newest),
  'is a folder': async ({ newest }) => {
    await rm(newest)
    await mkdir(newest)
  },
  'is of another format version': ({ newest }) =>
    rewriteCheckpoint(newest, { metadata: (fields) => (fields['format'] = '2') }),
  'lacks the bank': ({ newest }) => rewriteCheckpoint(newest, { without: 'bank/rows' }),
  'has metadata that is no JSON': ({ newest }) =>
    rewriteCheckpoint(newest, { metadata: (fields) => (fields['nnclr'] = '{"epoch":') }),
}

for (const [trouble, make] of Object.entries(TROUBLE)) {
  test(`a newest checkpoint that ${trouble} gives way to the one before`, async (t) => {
    const copy = await copyOf(t)
    await make(copy, (await partsOf(copy.newest)).dataAt)
    const directory = await RunDirectory.open(copy.out, { resume: true, overwrite: false })
    t.teardown(() => directory.close())
    const restored = await restoreNewest(directory, session)
    t.is(restored?.path, copy.older)
    t.is(restored?.metadata.step, 2)
    const [broken, ...others] = restored?.broken ?? []
    t.deepEqual(others, [])
    t.true(broken instanceof NnclrError && ['CHECKPOINT', 'IO'].includes(broken.code))
    t.true(broken?.message.includes(copy.newest), broken?.message)
  })
}

test('a rewritten checkpoint whose content is the same is still whole', async (t) => {
  const copy = await copyOf(t)
  await rewriteCheckpoint(copy.newest, {})
  const directory = await RunDirectory.open(copy.out, { resume: true, overwrite: false })
  t.teardown(() => directory.close())
  t.like(await restoreNewest(directory, session), { path: copy.newest, broken: [] })
})

test('a run goes on from the checkpoint before, says so, and ends the same', async (t) => {
  const { out, newest } = await copyOf(t)
  await damage(newest, flip(100_000, 5))
  const { events, result } = await told(tiny(out, { ...THREE, resume: true }))
  t.is(only(events, 'start')[0]?.resumedAt, 2)
  const [warning] = only(events, 'warning')
  t.true(warning?.message.includes(newest), warning?.message)
  t.regex(warning?.message ?? '', /going on from the checkpoint before it/)
  t.deepEqual(await differing(checkpointOf(finished.result), checkpointOf(result)), [])
})

test('a checkpoint that cannot be read never pushes a new one out', async (t) => {
  const { out, newest } = await copyOf(t)
  await damage(newest, flip(100_000, 5))
  await rename(newest, newest.replace('step-00000003', 'step-00000099'))
  const { result } = await told(tiny(out, { ...THREE, resume: true, checkpoint: { keep: 1 } }))
  t.true((await readdir(join(out, 'checkpoints'))).includes(basename(checkpointOf(result))))
})

test('when no checkpoint can be used the run is refused with the reason', async (t) => {
  const { out, newest, older } = await copyOf(t)
  await damage(newest, flip(100_000, 5))
  await writeFile(older, '')
  const error = await t.throwsAsync(train(tiny(out, { ...THREE, resume: true })))
  t.like(error, { code: 'CHECKPOINT', subject: out })
  t.true(error?.message.includes(newest))
})

test('checkpoints of another architecture are refused with what does not fit', async (t) => {
  const { out } = await copyOf(t)
  const path = join(out, 'config.json')
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replace('"stem": "small"', '"stem": "imagenet"'))
  const config = tiny(out, { ...THREE, stem: 'imagenet', imageSize: 32, resume: true })
  await writeFile(
    path,
    (await readFile(path, 'utf8')).replace('"imageSize": 16', '"imageSize": 32'),
  )
  const error = await t.throwsAsync(train(config), { instanceOf: NnclrError })
  t.is(error.code, 'CHECKPOINT')
  t.regex(error.message, /conv1\.weight is Float \[64, 3, 3, 3\], this model has/)
})
