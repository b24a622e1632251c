import { createServer } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { freePort } from '../../ts/distributed/free-port.js'
import { type NnclrError, type TrainConfig, type TrainEvent, train } from '../../ts/index.js'
import { listCheckpoints } from '../../ts/run-directory.js'
import { type Child, type Ended, start } from '../fixtures-child.js'
import { failureOf, heard } from '../fixtures-isolate.js'
import {
  isQuiet,
  marked,
  onRanks,
  printed,
  rankOf,
  ranksOf,
  rankVariables,
  startRank,
} from '../fixtures-ranks.js'
import { tiny, told } from '../fixtures-runs.js'
import { temporaryFolder } from '../temporary-folder.js'

/** Far from its end when something happens. */
const LONG: Partial<TrainConfig> = { epochs: 5000, checkpoint: { keep: 3 } }

/** What a failed program of `startRank` printed. */
const TELL = `.catch(({ code, message }) => console.log(JSON.stringify({ code, message })))`

/** The failure of a run on `devices` ranks, to which something happens at its second checkpoint. */
async function failureAfter(
  t: ExecutionContext,
  config: TrainConfig,
  happens: () => Promise<unknown>,
): Promise<{ error: NnclrError; seconds: number }> {
  let [began, checkpoints] = [0, 0]
  const run = train(config, { isolate: { env: marked(config.out) } })
  const onEvent = async ({ type }: TrainEvent): Promise<void> => {
    if (type !== 'checkpoint' || ++checkpoints !== 2) return
    began = performance.now()
    await happens()
  }
  const error = await failureOf(t, heard(run, onEvent))
  return { error, seconds: (performance.now() - began) / 1000 }
}

/** A relaunch goes on from a checkpoint that is whole. */
async function goesOn(t: ExecutionContext, out: string): Promise<void> {
  const [newest] = await listCheckpoints(out)
  const stop = new AbortController()
  const again = tiny(out, { ...LONG, devices: 2, resume: true, signal: stop.signal })
  const { events } = await told(again, ({ type }) => {
    if (type === 'step') stop.abort()
  })
  const [begun] = events
  t.is(begun?.type, 'start')
  t.true(begun?.type === 'start' && begun.resumedAt > 0 && begun.resumedAt <= (newest?.step ?? 0))
  t.false(
    events.some((event) => event.type === 'warning'),
    'no checkpoint was broken',
  )
}

for (const victim of [0, 1, 2]) {
  test(`kill -9 of rank ${victim} of 3 is told within 10 s, and a relaunch goes on`, async (t) => {
    const out = await temporaryFolder(t)
    const { error, seconds } = await failureAfter(t, tiny(out, { ...LONG, devices: 3 }), async () =>
      process.kill(await rankOf(out, victim), 'SIGKILL'),
    )
    t.log(`${seconds.toFixed(1)} s: ${error.message}`)
    t.true(seconds < 10)
    t.like(error, { code: 'PROCESS', process: { signal: 'SIGKILL' } })
    t.true(error.message.startsWith(`the process of rank ${victim} was ended by SIGKILL`))
    t.true(await isQuiet(out))
    await goesOn(t, out)
  })
}

test('a rank that hangs is named after the time-out, and ended', async (t) => {
  const out = await temporaryFolder(t)
  const config = tiny(out, { ...LONG, devices: 2, distributed: { timeoutSeconds: 3 } })
  const { error, seconds } = await failureAfter(t, config, async () =>
    process.kill(await rankOf(out, 1), 'SIGSTOP'),
  )
  t.log(`${seconds.toFixed(1)} s: ${error.message}`)
  t.true(seconds < 10)
  t.is(error.code, 'DISTRIBUTED')
  t.regex(error.message, /rank 1/)
  t.true(await isQuiet(out))
  await goesOn(t, out)
})

test('a rank that fails to be started at all is told as the cause', async (t) => {
  const out = await temporaryFolder(t)
  const config = tiny(out, { ...LONG, devices: 2 })
  const env = { ...marked(out), NODE_OPTIONS: '--no-such-flag' }
  const isolate = { env, onOutput: () => {} }
  const error = await failureOf(t, Promise.resolve(train(config, { isolate })))
  t.is(error.code, 'PROCESS')
  t.regex(error.message, /the process of rank [01] ended with exit code 9/)
})

const JOIN = `await train(tiny(out, {
  devices: 'auto', distributed: { joinTimeoutSeconds: 3, timeoutSeconds: 20 },
}))${TELL}`

function failureIn({ stdout }: Ended): { code: string; message: string } {
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? 'null') as { code: string; message: string }
}

async function timed(t: ExecutionContext, { ended }: Child): Promise<ReturnType<typeof failureIn>> {
  const began = performance.now()
  const failure = failureIn(await ended)
  t.log(`${((performance.now() - began) / 1000).toFixed(1)} s: ${failure.message}`)
  return failure
}

test('a rank that never comes is named', async (t) => {
  const out = await temporaryFolder(t)
  const child = startRank(JOIN, out, rankVariables(0, 2, await freePort('127.0.0.1')))
  const { code, message } = await timed(t, child)
  t.is(code, 'DISTRIBUTED')
  t.regex(message, /rank 1/)
})

test('an address where no rank 0 is, is named', async (t) => {
  const out = await temporaryFolder(t)
  const port = await freePort('127.0.0.1')
  const { code, message } = await timed(t, startRank(JOIN, out, rankVariables(1, 2, port)))
  t.is(code, 'DISTRIBUTED')
  t.regex(message, new RegExp(`127\\.0\\.0\\.1.*${port}`))
  const unknown = rankVariables(1, 2, port, 'no-such-host.invalid')
  const other = await timed(t, startRank(JOIN, out, unknown))
  t.is(other.code, 'DISTRIBUTED')
  t.regex(other.message, /no-such-host\.invalid/)
})

test('a port that is taken is named', async (t) => {
  const out = await temporaryFolder(t)
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const { code, message } = await timed(t, startRank(JOIN, out, rankVariables(0, 2, port)))
  t.is(code, 'DISTRIBUTED')
  t.regex(message, new RegExp(String(port)))
})

test('different configurations are told on both ranks, by field and value', async (t) => {
  const out = await temporaryFolder(t)
  const program = `await train(tiny(out, {
    batchSize: process.env.RANK === '1' ? 4 : 8, memoryBank: { size: 32 + Number(process.env.RANK) },
  }))${TELL}`
  for (const ended of await onRanks(program, out, 2)) {
    const { code, message } = failureIn(ended)
    t.is(code, 'CONFIG')
    t.regex(message, /batchSize: got 8 on rank 0, 4 on rank 1, expected the same on every rank/)
    t.regex(message, /memoryBank\.size: got 32 on rank 0, 33 on rank 1/)
  }
})

test('uneven data is told on both ranks', async (t) => {
  const out = await temporaryFolder(t)
  const program = `await train(tiny(out, { data: samples(16 + Number(process.env.RANK)) }))${TELL}`
  for (const ended of await onRanks(program, out, 2)) {
    const { code, message } = failureIn(ended)
    t.is(code, 'CONFIG')
    t.regex(message, /data: got '16 pictures, .{8}' on rank 0, '17 pictures, .{8}' on rank 1/)
  }
})

test('a failure of one rank is quoted by the others', async (t) => {
  const out = await temporaryFolder(t)
  const program = `await train(tiny(out, {
    data: process.env.RANK === '1' ? '/no/such/folder' : samples(16),
    distributed: { timeoutSeconds: 20 },
  }))${TELL}`
  const [first, second] = (await onRanks(program, out, 2)).map(failureIn)
  t.is(second?.code, 'IO')
  t.is(first?.code, 'DISTRIBUTED')
  t.regex(first?.message ?? '', /rank 1.*\/no\/such\/folder/)
})

test('ranks end when their parent is gone, and leave a whole checkpoint', async (t) => {
  const out = await temporaryFolder(t)
  const config = `tiny(out, { epochs: 5000, devices: 2 })`
  const parent = start(
    `const run = train(${config}, { isolate: { env: ${JSON.stringify(marked(out))} } })
     for await (const { type } of run) if (type === 'checkpoint') console.log('saved')`,
    out,
  )
  await printed(parent, /saved/)
  t.is((await ranksOf(out)).size, 2)
  parent.process.kill('SIGKILL')
  await parent.ended
  const began = performance.now()
  t.true(await isQuiet(out, 10_000))
  t.log(`${((performance.now() - began) / 1000).toFixed(1)} s`)
  await goesOn(t, out)
})
