import { access, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { readMetadata } from '../ts/checkpoint.js'
import { type TrainConfig, type TrainEvent, train } from '../ts/index.js'
import { run as runProgram } from './fixtures-child.js'
import { samples } from './fixtures-pictures.js'
import { checkpointOf, jsonLines, only, partsOf, type Told, tiny, told } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** 22 pictures with 6 held back leave 16: 2 steps an epoch. */
const HELD: Partial<TrainConfig> = { data: samples(22), validation: 0.25, momentum: 0 }
/** Names of numbers that depend on the clock. */
const WALL_CLOCK = ['communication', 'seconds', 'imagesPerSecond', 'dataWait', 'secondsLeft']

let out: string
let seen: Told

test.before(async () => {
  out = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  seen = await told(tiny(out, HELD))
})

test.after.always(() => rm(out, { recursive: true, force: true }))

test('the events come in order, from start to end', (t) => {
  const epoch = ['step', 'step', 'epoch', 'evaluation', 'checkpoint']
  const types = seen.events.map(({ type }) => type)
  t.deepEqual(types, ['start', 'evaluation', ...epoch, ...epoch, 'end'] as TrainEvent['type'][])
})

test('the start event tells what was settled', (t) => {
  const [start] = only(seen.events, 'start')
  t.like(start, { pictures: 16, classes: ['blue', 'red'], steps: 4, resumedAt: 0, device: 'cpu' })
  t.is(start?.precision, 'fp32')
  t.like(start?.config, { batchSize: 8, seed: 0, memoryBank: { size: 32, warmup: 'fill' } })
})

test('step events count epochs from 1 and finished steps over the run', (t) => {
  const steps = only(seen.events, 'step')
  t.deepEqual(
    steps.map(({ epoch, step }) => [epoch, step]),
    [
      [1, 1],
      [1, 2],
      [2, 3],
      [2, 4],
    ],
  )
  t.deepEqual(
    steps.map(({ bankFilled }) => bankFilled),
    [0.25, 0.5, 0.75, 1],
  )
  for (const event of steps) {
    t.is(event.steps, 4)
    t.true(Number.isFinite(event.loss) && event.loss > 0)
    t.true(event.imagesPerSecond > 0 && event.secondsLeft >= 0)
    const shares = [event.uniqueNeighbours, event.selfNeighbourRate, event.dataWait]
    t.true(shares.every((share) => share >= 0 && share <= 1))
    t.true(event.sameClassRate !== null && event.featureStd > 0)
  }
})

test('an epoch event holds the means of its steps', (t) => {
  const [steps, epochs] = [only(seen.events, 'step'), only(seen.events, 'epoch')]
  t.deepEqual(
    epochs.map(({ epoch, step }) => [epoch, step]),
    [
      [1, 2],
      [2, 4],
    ],
  )
  for (const [i, epoch] of epochs.entries()) {
    t.is(epoch.epochs, 2)
    const own = steps.slice(2 * i, 2 * i + 2)
    for (const name of ['loss', 'neighbourSimilarity', 'neighbourAge', 'featureStd'] as const) {
      const mean = own.reduce((sum, step) => sum + step[name], 0) / 2
      t.true(epoch[name] === mean, name)
    }
  }
})

test('awaiting a run gives the result that the end event carries', async (t) => {
  const { result, events } = seen
  t.is(only(events, 'end')[0]?.result, result)
  t.like(result, { out, epochs: 2, steps: 4, stopped: false, badImages: 0 })
  t.is(result.loss, only(events, 'epoch')[1]?.loss ?? -1)
  t.is(result.knnTop1, only(events, 'evaluation').at(-1)?.knnTop1 ?? null)
  t.is(result.checkpoint, only(events, 'checkpoint').at(-1)?.path ?? null)
  t.true(result.seconds > 0)
  const exported = await partsOf(result.exported ?? '')
  t.true(exported.tensors.has('layer1.0.bn1.running_mean'), "torchvision's names")
})

test("metrics.jsonl holds the events' reproducible numbers and no other", async (t) => {
  const expected = seen.events
    .filter(({ type }) => type === 'step' || type === 'epoch' || type === 'evaluation')
    .map((event) => {
      const left = ['steps', 'epochs', ...WALL_CLOCK]
      return Object.fromEntries(Object.entries(event).filter(([name]) => !left.includes(name)))
    })
  t.deepEqual(await jsonLines(out, 'metrics.jsonl'), expected)
  for (const line of await jsonLines(out, 'timing.jsonl')) {
    t.true(WALL_CLOCK.some((name) => name in line))
  }
})

test('config.json tells versions, device and every setting', async (t) => {
  const record = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'))
  t.like(record, { format: 'nnclr-run', versions: { libtorch: '2.13.0' } })
  t.like(record.settled, { device: 'cpu', threads: 1, batchSize: 8, pictures: 16 })
  t.like(record.config, { seed: 0, validation: 0.25, backbone: 'resnet10', temperature: 0.2 })
})

test('a signal that was aborted before leaves a checkpoint of step 0', async (t) => {
  const folder = await temporaryFolder(t)
  const { result, events } = await told(tiny(folder, { signal: AbortSignal.abort() }))
  t.like(result, { stopped: true, steps: 0, epochs: 0, exported: null })
  t.is((await readMetadata(checkpointOf(result))).step, 0)
  t.deepEqual(only(events, 'step'), [])
})

test('a signal in the middle of an epoch stops after the step under way', async (t) => {
  const controller = new AbortController()
  const folder = await temporaryFolder(t)
  const config = tiny(folder, { momentum: 0, signal: controller.signal })
  const { result } = await told(config, ({ type }) => type === 'step' && controller.abort())
  t.true(result.stopped)
  t.true(result.steps === 1 || result.steps === 2, `${result.steps} steps`)
  const metadata = await readMetadata(checkpointOf(result))
  t.is(metadata.step, result.steps)
  await t.throwsAsync(access(join(folder, 'backbone.safetensors')), { code: 'ENOENT' })
})

test('a signal during evaluation ends it without a score, with a checkpoint', async (t) => {
  const controller = new AbortController()
  const config = tiny(await temporaryFolder(t), { ...HELD, signal: controller.signal })
  const { result, events } = await told(
    config,
    ({ type }) => type === 'epoch' && controller.abort(),
  )
  t.like(result, { stopped: true, epochs: 1, steps: 2 })
  t.is(only(events, 'evaluation').length, 1)
  t.like(await readMetadata(checkpointOf(result)), { epoch: 1, step: 2, stepInEpoch: 0 })
})

test('leaving the loop early does not stop the run', async (t) => {
  const run = train(tiny(await temporaryFolder(t), { epochs: 1, momentum: 0 }))
  for await (const event of run) if (event.type === 'step') break
  const result = await run
  t.like(result, { stopped: false, steps: 2, epochs: 1 })
})

test('two readers and two awaits see the same', async (t) => {
  const run = train(tiny(await temporaryFolder(t), { epochs: 1, momentum: 0 }))
  const listen = async (): Promise<TrainEvent[]> => {
    const events: TrainEvent[] = []
    for await (const event of run) events.push(event)
    return events
  }
  const [first, second, one, other] = await Promise.all([listen(), listen(), run, run])
  t.deepEqual(first, second)
  t.is(one, other)
  t.is(first.length, 6)
})

test('a run never prints, not even about pictures that it skips', async (t) => {
  const program = `await train(tiny(out, { epochs: 1, momentum: 0, data:
    [...samples(15), { bytes: Buffer.from('no picture'), label: 'red' }] }))`
  const folder = await temporaryFolder(t)
  t.deepEqual(await runProgram(program, folder), { code: 0, signal: null, stdout: '', stderr: '' })
  t.is((await jsonLines(folder, 'bad-images.jsonl')).length, 1)
})

test('a failure that nobody waits for becomes an unhandled rejection', async (t) => {
  const folder = await temporaryFolder(t)
  const ended = await runProgram(`train(tiny(out, { data: '/no/such/folder' }))`, folder)
  t.is(ended.code, 1)
  t.regex(ended.stderr, /NnclrError: the folder \/no\/such\/folder does not exist/)
})

test('a failure after its only reader left becomes an unhandled rejection', async (t) => {
  const program = `
    const bad = Array.from({ length: 16 }, () => ({ bytes: Buffer.from('no picture') }))
    for await (const { type } of train(tiny(out, { data: bad }))) if (type === 'start') break`
  const ended = await runProgram(program, await temporaryFolder(t))
  t.is(ended.code, 1)
  t.regex(ended.stderr, /NnclrError/)
})
