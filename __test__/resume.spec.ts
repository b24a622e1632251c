import { randomInt } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { NnclrError, type TrainConfig, type TrainEvent, train } from '../ts/index.js'
import { start } from './fixtures-child.js'
import { rewriteCheckpoint } from './fixtures-checkpoint.js'
import { samples } from './fixtures-pictures.js'
import { checkpointOf, differing, only, type Told, tiny, told } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** 4 epochs of 2 steps, momentum, a bank that wraps in mid-epoch, and evaluations. */
const WHOLE: Partial<TrainConfig> = {
  epochs: 4,
  data: samples(20),
  validation: 0.2,
  memoryBank: { size: 20 },
}

let straight: string
let uninterrupted: Told

test.before(async () => {
  straight = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  uninterrupted = await told(tiny(straight, WHOLE))
})

test.after.always(() => rm(straight, { recursive: true, force: true }))

/** Starts a run in `out` and stops it when `isTime`. */
async function interrupted(
  out: string,
  isTime: (event: TrainEvent) => boolean,
  changes: Partial<TrainConfig> = {},
): Promise<Told> {
  const controller = new AbortController()
  const config = tiny(out, { ...WHOLE, ...changes, signal: controller.signal })
  return told(config, (event) => isTime(event) && controller.abort())
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

test('4 epochs are a stop in mid-epoch and a resume, bit for bit', async (t) => {
  const out = await temporaryFolder(t)
  const stopped = await interrupted(out, (event) => event.type === 'step' && event.step === 3)
  t.like(stopped.result, { stopped: true, steps: 3, epochs: 1 })
  const resumed = await told(tiny(out, { ...WHOLE, resume: true }))
  t.is(only(resumed.events, 'start')[0]?.resumedAt, 3)
  await isSame(t, resumed)
})

test('4 epochs are a stop during evaluation and a resume, bit for bit', async (t) => {
  const out = await temporaryFolder(t)
  const stopped = await interrupted(out, (event) => event.type === 'epoch' && event.epoch === 2)
  t.like(stopped.result, { stopped: true, epochs: 2 })
  await isSame(t, await told(tiny(out, { ...WHOLE, resume: true })))
})

test('4 epochs are a stop before the first step and a resume, bit for bit', async (t) => {
  const out = await temporaryFolder(t)
  const stopped = await interrupted(out, (event) => event.type === 'evaluation')
  t.true(stopped.result.stopped)
  await isSame(t, await told(tiny(out, { ...WHOLE, resume: true })))
})

test('4 epochs are two kills at random moments and a resume, bit for bit', async (t) => {
  const out = await temporaryFolder(t)
  const config = JSON.stringify({ ...WHOLE, data: null, checkpoint: { everySteps: 1 } })
  const program = `
    const run = train(tiny(out, { ...${config}, data: samples(20), resume: true }))
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
  const out = await temporaryFolder(t)
  const { result } = await interrupted(out, (event) => event.type === 'step' && event.step === 7)
  const negate = (name: string, bytes: Buffer): void => {
    if (name !== 'bank/rows') return
    for (let i = 3; i < bytes.length; i += 4) bytes[i] = (bytes[i] ?? 0) ^ 0x80
  }
  await rewriteCheckpoint(checkpointOf(result), { tensor: negate })
  const resumed = await told(tiny(out, { ...WHOLE, resume: true }))
  t.deepEqual(only(resumed.events, 'warning'), [], 'the replaced file is taken for whole')
  const different = await differing(checkpointOf(uninterrupted.result), checkpointOf(resumed.result))
  t.true(different.some((name) => name.startsWith('model/')))
})

test('resuming a run that is over changes nothing', async (t) => {
  const out = join(await temporaryFolder(t), 'run')
  await cp(straight, out, { recursive: true })
  const resumed = await told(tiny(out, { ...WHOLE, resume: true }))
  t.deepEqual(only(resumed.events, 'step'), [])
  await isSame(t, resumed)
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

test('settings that are not given again are those of the run directory', async (t) => {
  const out = await temporaryFolder(t)
  await interrupted(out, (event) => event.type === 'step' && event.step === 7)
  const { data = [] } = WHOLE
  const resumed = await told({ data, out, resume: true })
  t.is(only(resumed.events, 'start')[0]?.pictures, 16, 'the held-back share stays held back')
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

test('settings that would make it another run are refused, by name and all at once', async (t) => {
  const before = await readdir(join(straight, 'checkpoints'))
  const changes = { ...WHOLE, resume: true, lr: 0.1, memoryBank: { size: 21 }, validation: 0.5 }
  const error = await t.throwsAsync(train(tiny(straight, changes)), { instanceOf: NnclrError })
  t.is(error.code, 'CONFIG')
  const fields = error.issues.map(({ field }) => field).sort()
  t.deepEqual(fields, ['lr', 'memoryBank', 'validation'])
  t.deepEqual(await readdir(join(straight, 'checkpoints')), before)
})

test('a directory with a run in it needs resume or overwrite', async (t) => {
  const error = await t.throwsAsync(train(tiny(straight, WHOLE)), { instanceOf: NnclrError })
  t.like(error, { code: 'CONFIG', subject: 'out' })
  t.regex(error.message, /resume: true goes on, overwrite: true starts anew/)
})
