import { randomInt } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { resolveConfig } from '../ts/config.js'
import { NnclrError, openEmbedder, type TrainConfig, type TrainEvent, train } from '../ts/index.js'
import { restoreSettings } from '../ts/train/restore-settings.js'
import { rewriteCheckpoint } from './fixtures-checkpoint.js'
import { start } from './fixtures-child.js'
import { samples } from './fixtures-pictures.js'
import { checkpointOf, differing, only, type Told, tiny, told } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** 4 epochs of 3 steps, momentum, a bank that wraps in mid-epoch, and evaluations. */
const WHOLE: Partial<TrainConfig> = {
  epochs: 4,
  data: samples(30),
  validation: 0.2,
  memoryBank: { size: 20 },
  // So that the last step trains too.
  lrEnd: 0.01,
}

let straight: string
let uninterrupted: Told

test.before(async () => {
  straight = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  uninterrupted = await told(tiny(straight, WHOLE))
})

test.after.always(() => rm(straight, { recursive: true, force: true }))

/** Starts or resumes a run in `out` and stops it when `isTime`. */
async function interrupted(out: string, isTime: (event: TrainEvent) => boolean): Promise<Told> {
  const controller = new AbortController()
  const config = tiny(out, { ...WHOLE, resume: true, signal: controller.signal })
  return told(config, (event) => isTime(event) && controller.abort())
}

/** A copy of the finished run's directory, with all its checkpoints or without the last. */
async function copyOf(t: ExecutionContext, checkpoints: 'all' | 'but the last'): Promise<string> {
  const out = join(await temporaryFolder(t), 'run')
  const isLock = (path: string) => basename(path).startsWith('nnclr.lock')
  await cp(straight, out, { recursive: true, filter: (path) => !isLock(path) })
  if (checkpoints === 'but the last') await rm(await newestIn(out))
  return out
}

async function newestIn(out: string): Promise<string> {
  const folder = join(out, 'checkpoints')
  return join(folder, (await readdir(folder)).sort().at(-1) ?? '')
}

/** Whether a run came to the same end, bit for bit, and tells the same story. */
async function isSame(t: ExecutionContext, { result }: Told): Promise<void> {
  const expected = checkpointOf(uninterrupted.result)
  t.deepEqual(await differing(expected, checkpointOf(result)), [])
  const [own, other] = [result.out, straight].map((out) => join(out, 'metrics.jsonl'))
  t.is(await readFile(own ?? '', 'utf8'), await readFile(other ?? '', 'utf8'))
  const { loss, knnTop1, epochs, steps } = uninterrupted.result
  t.like(result, { loss, knnTop1, epochs, steps, stopped: false })
}

test('4 epochs are stops at the worst moments and resumes, bit for bit', async (t) => {
  const out = await temporaryFolder(t)
  const first = await interrupted(out, ({ type }) => type === 'start')
  t.like(first.result, { stopped: true, steps: 0 }, 'before the first step')
  const middle = await interrupted(out, (event) => event.type === 'step' && event.step === 4)
  t.like(middle.result, { stopped: true, steps: 5, epochs: 1 }, 'in mid-epoch')
  const end = await interrupted(out, (event) => event.type === 'epoch' && event.epoch === 3)
  t.is(only(end.events, 'start')[0]?.resumedAt, 5)
  t.like(end.result, { stopped: true, steps: 9, epochs: 3 }, 'during evaluation')
  await isSame(t, await told(tiny(out, { ...WHOLE, resume: true })))
})

test('4 epochs are two kills at random moments and a resume, bit for bit', async (t) => {
  const out = await temporaryFolder(t)
  const config = JSON.stringify({ ...WHOLE, data: null, checkpoint: { everySteps: 2 } })
  const program = `
    const run = train(tiny(out, { ...${config}, data: samples(30), resume: true }))
    for await (const { type } of run) console.log(type)`
  for (let kill = 0; kill < 2; kill++) {
    const child = start(program, out)
    const [events, delay] = [randomInt(1, 12), randomInt(0, 400)]
    t.log(`kill ${delay} ms after event ${events}`)
    await new Promise<void>((resolve) => {
      let count = 0
      child.process.stdout?.on('data', (text: string) => {
        count += text.split('\n').length - 1
        if (count >= events) setTimeout(resolve, delay)
      })
      child.process.on('exit', () => resolve())
    })
    child.process.kill('SIGKILL')
    const { signal, stderr } = await child.ended
    t.is(signal, 'SIGKILL', stderr)
  }
  await isSame(t, await told(tiny(out, { ...WHOLE, resume: true })))
})

test('a checkpoint whose bank was replaced ends elsewhere', async (t) => {
  const out = await copyOf(t, 'but the last')
  const negate = (name: string, bytes: Buffer): void => {
    if (name !== 'bank/rows') return
    for (let i = 3; i < bytes.length; i += 4) bytes[i] = (bytes[i] ?? 0) ^ 0x80
  }
  await rewriteCheckpoint(await newestIn(out), { tensor: negate })
  const resumed = await told(tiny(out, { ...WHOLE, resume: true }))
  t.deepEqual(only(resumed.events, 'warning'), [], 'the replaced file is taken for whole')
  t.is(resumed.result.steps, 12)
  const different = await differing(
    checkpointOf(uninterrupted.result),
    checkpointOf(resumed.result),
  )
  t.true(different.some((name) => name.startsWith('model/')))
})

test('resuming a run that is over changes nothing', async (t) => {
  const resumed = await told(tiny(await copyOf(t, 'all'), { ...WHOLE, resume: true }))
  t.deepEqual(only(resumed.events, 'step'), [])
  await isSame(t, resumed)
})

test('resuming a run that was killed before its first checkpoint starts anew', async (t) => {
  const out = await temporaryFolder(t)
  const config = tiny(out, { epochs: 1, momentum: 0 })
  await train(config)
  const before = await readFile(join(out, 'metrics.jsonl'), 'utf8')
  await rm(await newestIn(out))
  const { events } = await told({ ...config, resume: true })
  t.is(only(events, 'start')[0]?.resumedAt, 0)
  t.is(await readFile(join(out, 'metrics.jsonl'), 'utf8'), before)
})

test('resuming a run that is over keeps its last evaluation', async (t) => {
  const out = await temporaryFolder(t)
  const config = tiny(out, { ...WHOLE, epochs: 1, momentum: 0, evaluation: { every: 5 } })
  await train(config)
  const before = await readFile(join(out, 'metrics.jsonl'), 'utf8')
  t.regex(before, /"type":"evaluation","epoch":1/)
  await train({ ...config, resume: true })
  t.is(await readFile(join(out, 'metrics.jsonl'), 'utf8'), before)
})

test('a run that is over can be told to compare pictures at another size', async (t) => {
  const out = await temporaryFolder(t)
  const config = tiny(out, { ...WHOLE, epochs: 1, momentum: 0 })
  await train(config)
  const sizes = async (): Promise<number[]> => {
    const opened = [out, join(out, 'backbone.safetensors')].map((path) =>
      openEmbedder(path, { threads: 1 }),
    )
    const embedders = await Promise.all(opened)
    await Promise.all(embedders.map((embedder) => embedder.close()))
    return embedders.map(({ imageSize }) => imageSize)
  }
  t.deepEqual(await sizes(), [16, 16])
  await train({ data: config.data, out, resume: true, evaluation: { imageSize: 24 } })
  t.deepEqual(await sizes(), [24, 24], 'checkpoint and exported backbone')
  await train({ data: config.data, out, resume: true })
  t.deepEqual(await sizes(), [24, 24], 'as config.json says')
})

test('settings that are not given again are those of the run directory', async (t) => {
  const out = await copyOf(t, 'but the last')
  const { data = [] } = WHOLE
  const resumed = await told({ data, out, resume: true })
  t.is(only(resumed.events, 'start')[0]?.pictures, 24, 'the held-back share stays held back')
  await isSame(t, resumed)
})

test('raising epochs on resume is allowed, and said', async (t) => {
  const out = await temporaryFolder(t)
  const constant = { schedule: 'constant', warmupEpochs: 0, neighbourWarmup: 0 } as const
  const longer = await told(tiny(join(out, 'longer'), { ...constant, epochs: 2 }))
  const first = tiny(join(out, 'raised'), { ...constant, epochs: 1 })
  await train(first)
  const raised = await told({ ...first, epochs: 2, resume: true })
  const messages = only(raised.events, 'warning').map(({ message }) => message)
  t.true(messages.some((message) => /epochs is 2 now and was 1/.test(message)))
  t.like(raised.result, { epochs: 2, steps: 4 })
  const pair = [longer, raised].map(({ result }) => checkpointOf(result))
  t.deepEqual(await differing(pair[0] ?? '', pair[1] ?? ''), [])
})

test.serial(
  'settings that would make it another run are refused, by name and all at once',
  async (t) => {
    const before = await readdir(join(straight, 'checkpoints'))
    const changes: Partial<TrainConfig> = {
      ...WHOLE,
      resume: true,
      lr: 0.1,
      memoryBank: { size: 21 },
      neighbourWeight: 1,
      viewLoss: 'predicted',
      validation: 0.5,
    }
    const error = await t.throwsAsync(train(tiny(straight, changes)), { instanceOf: NnclrError })
    t.is(error.code, 'CONFIG')
    const fields = error.issues.map(({ field }) => field).sort()
    t.deepEqual(fields, ['lr', 'memoryBank', 'neighbourWeight', 'validation', 'viewLoss'])
    t.deepEqual(await readdir(join(straight, 'checkpoints')), before)
  },
)

test('a run of before there was a weight goes on with neighbours and gradient through p alone', (t) => {
  const given = { data: 'photos/', out: 'runs/first' }
  const { neighbourWeight, viewLoss, ...config } = resolveConfig(given)
  t.deepEqual([neighbourWeight, viewLoss], [0.5, 'simclr'])
  t.like(restoreSettings(given, { config }, []), { neighbourWeight: 1, viewLoss: 'predicted' })
  t.throws(() => restoreSettings({ ...given, neighbourWeight: 0.5 }, { config }, []), {
    message: /neighbourWeight: got 0.5, expected 1, as the run began/,
  })
})

test.serial('a directory with a run in it needs resume or overwrite', async (t) => {
  const error = await t.throwsAsync(train(tiny(straight, WHOLE)), { instanceOf: NnclrError })
  t.like(error, { code: 'CONFIG', subject: 'out' })
  t.regex(error.message, /resume: true goes on, overwrite: true starts anew/)
})

test('a run that began with overwrite can be resumed', async (t) => {
  const out = await temporaryFolder(t)
  const config = tiny(out, { epochs: 1, momentum: 0 })
  await train(config)
  await train({ ...config, overwrite: true })
  const { events } = await told({ ...config, resume: true })
  t.deepEqual(only(events, 'step'), [])
})
