import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import {
  embed,
  ImageFolder,
  knn,
  type NnclrError,
  type TrainConfig,
  type TrainEvent,
  train,
} from '../ts/index.js'
import { failureOf, goneAfter, heard, prioritiesOf, workerOf } from './fixtures-isolate.js'
import { samples, writePictures } from './fixtures-pictures.js'
import { checkpointOf, differing, only, type Told, tiny } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

const ISOLATED = { isolate: true } as const
/** Saves take most of a tiny run's time: one at the end is enough. */
const HELD: Partial<TrainConfig> = {
  data: samples(22),
  validation: 0.25,
  checkpoint: { everyEpochs: 0 },
}
const LINUX = process.platform === 'linux'
const WALL_CLOCK = ['seconds', 'imagesPerSecond', 'dataWait', 'secondsLeft']

let folder: string
let here: Told
let there: Told
let config: TrainConfig

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  await writePictures(join(folder, 'pictures'), 10)
  here = await heard(train(tiny(join(folder, 'here'), HELD)))
  config = tiny(join(folder, 'there'), HELD)
  there = await heard(train(config, ISOLATED), async ({ type }) => {
    // A Ctrl-C reaches the child too, and is the parent's to answer.
    if (type === 'start') process.kill(await workerOf(config.out), 'SIGINT')
  })
})

test.after.always(() => rm(folder, { recursive: true, force: true }))

/** Without wall-clock numbers, and with one name for both run directories. */
function comparable(events: readonly TrainEvent[]): unknown {
  return events.map((event) => {
    const text = JSON.stringify(event, (name, value) => {
      if (WALL_CLOCK.includes(name)) return typeof value
      return typeof value === 'string' ? value.replace(/(here|there)/, 'run') : value
    })
    return JSON.parse(text) as unknown
  })
}

test('an isolated training tells the same events in the same order', (t) => {
  t.deepEqual(comparable(there.events), comparable(here.events))
  t.deepEqual(Object.keys(there.events[0] ?? {}), Object.keys(here.events[0] ?? {}))
  t.is(only(there.events, 'end')[0]?.result, there.result)
})

test("its start event holds the caller's own pictures", (t) => {
  const [start] = only(there.events, 'start')
  t.is(start?.config.data, config.data)
  t.is(start?.config.signal, null)
})

test('it leaves the same files with the same weights', async (t) => {
  t.deepEqual(await differing(checkpointOf(there.result), checkpointOf(here.result)), [])
  for (const name of ['metrics.jsonl', 'config.json']) {
    const [one, other] = await Promise.all(
      ['there', 'here'].map((run) => readFile(join(folder, run, name), 'utf8')),
    )
    t.is(one?.replaceAll('there', 'here'), other)
  }
})

test('embed gives the same rows, for a data set object of several kinds', async (t) => {
  const { out: checkpoint } = here.result
  const root = join(folder, 'pictures')
  const own = { open: () => new ImageFolder(root).open() }
  const options = { checkpoint, threads: 1, workers: 1, device: 'cpu' } as const
  const expected = await embed({ ...options, data: root })
  t.deepEqual(await embed({ ...options, data: own }, ISOLATED), expected)
})

test('knn gives the same score', async (t) => {
  const options = {
    data: samples(12),
    validation: 0.25,
    checkpoint: here.result.out,
    k: 3,
    threads: 1,
    workers: 1,
    device: 'cpu',
  } as const
  t.deepEqual(await knn(options, ISOLATED), await knn(options))
})

test('the signal stops it with a checkpoint, and resume goes on to the same weights', async (t) => {
  const out = join(folder, 'stopped')
  const stop = new AbortController()
  const changes = { ...HELD, signal: stop.signal }
  const { result } = await heard(train(tiny(out, changes), ISOLATED), ({ type }) => {
    if (type === 'step') stop.abort()
  })
  t.true(result.stopped)
  t.true(result.steps < 4, `${result.steps} steps`)
  const resumed = await train(tiny(out, { ...HELD, resume: true }), ISOLATED)
  t.like(resumed, { stopped: false, steps: 4 })
  t.deepEqual(await differing(checkpointOf(resumed), checkpointOf(here.result)), [])
})

test('kill ends it at once: the reason comes, and the process is gone', async (t) => {
  const out = await temporaryFolder(t)
  const kill = new AbortController()
  const reason = new DOMException('enough', 'AbortError')
  let worker = 0
  let priorities: number[] = []
  const run = train(tiny(out, { epochs: 500 }), { isolate: { kill: kill.signal } })
  const ended = heard(run, async ({ type }) => {
    if (type !== 'step' || worker !== 0) return
    worker = await workerOf(out)
    priorities = await prioritiesOf(worker)
    kill.abort(reason)
  })
  t.is(await t.throwsAsync(ended, { any: true }), reason)
  t.deepEqual(priorities, LINUX ? [10, 10, 10] : [10], 'it stood back, with all that computes')
  t.true(worker !== process.pid && (await goneAfter(worker, 1000)) < 1000)
  await t.throwsAsync(train(tiny(out), { isolate: { kill: kill.signal } }), {
    any: true,
    is: reason,
  })
})

test("an aborted embed rejects with the caller's reason", async (t) => {
  const reason = new DOMException('no longer wanted', 'AbortError')
  const signal = AbortSignal.abort(reason)
  const options = { data: samples(8), checkpoint: here.result.out, signal }
  t.is(await t.throwsAsync(embed(options, ISOLATED), { any: true }), reason)
})

test('an error arrives with code, subject, message, issues and cause', async (t) => {
  const told = ({ code, subject, message, issues, cause, name, process }: NnclrError): unknown => {
    const { code: system, message: words } = cause as NodeJS.ErrnoException
    return { code, subject, message, issues, system, words, name, process }
  }
  const options = { data: samples(2), checkpoint: join(folder, 'nothing') }
  const error = await failureOf(t, embed(options, ISOLATED))
  t.deepEqual(told(error), told(await failureOf(t, embed(options))))
  t.like(error, { code: 'IO', subject: options.checkpoint })
  t.regex(error.stack ?? '', /(embed|backbone)\.ts/)
})

test('settings that are wrong are told before a process is made', async (t) => {
  const noProcess = { isolate: { execArgv: ['--no-such-flag'] } }
  const wrong = train(tiny(folder, { epochs: 0 }), noProcess)
  const error = await failureOf(t, Promise.resolve(wrong))
  t.is(error.issues[0]?.field, 'epochs')
  const isolate = { memoryLimitMB: 1, killl: true, priority: 'lo', env: { A: 1 } }
  const options = { isolate, isolated: true } as object
  const refused = await failureOf(t, Promise.resolve(train(tiny(folder), options)))
  const fields = refused.issues.map(({ field }) => field)
  const wrongOnes = ['killl', 'memoryLimitMB', 'priority', 'env'].map((name) => `isolate.${name}`)
  t.deepEqual(fields, ['isolated', ...wrongOnes])
  t.is(refused.issues[1]?.hint, "did you mean 'kill'?")
  await failureOf(t, embed({ data: folder, checkpoint: folder }, { isolate: 'yes' } as object))
})

test('a signal that is none is told before a process is made', async (t) => {
  const signal = { aborted: false } as unknown as AbortSignal
  const noProcess = { isolate: { execArgv: ['--no-such-flag'] } }
  const options = { data: samples(2), checkpoint: here.result.out, signal }
  for (const call of [
    () => embed(options, noProcess),
    () => knn({ ...options, validation: 0.5 }, noProcess),
    () => train(tiny(folder, { signal }), noProcess).then(),
  ]) {
    const error = await failureOf(t, call())
    t.like(error, { code: 'CONFIG', subject: 'signal' })
    t.is(error.issues[0]?.expected, 'an AbortSignal, or null')
  }
})

test('a picture that cannot be sent is named', async (t) => {
  const data = [...samples(2), { path: 'a.png', label: () => 'red' }] as TrainConfig['data']
  const checkpoint = here.result.out
  const error = await failureOf(t, embed({ data, checkpoint }, ISOLATED))
  t.like(error, { code: 'CONFIG', subject: 'data[2]' })
  t.regex(error.message, /process of its own/)
})
