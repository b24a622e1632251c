import { spawn } from 'node:child_process'
import { getPriority } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { train } from '../ts/index.js'
import { callInChild } from '../ts/isolate/host.js'
import { ownTransport, type Transport } from '../ts/isolate/transport.js'
import { listCheckpoints } from '../ts/run-directory.js'
import { run as runProgram, start, wordsOf } from './fixtures-child.js'
import {
  failureOf,
  goneAfter,
  heard,
  isAlive,
  prioritiesOf,
  workerOf,
  writtenModule,
} from './fixtures-isolate.js'
import { tiny } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** Far from its end when it is stopped. */
const LONG = { epochs: 5000, checkpoint: { everyEpochs: 0 } }

test('kill -9 of the child rejects with PROCESS, its signal and the last checkpoint', async (t) => {
  const out = await temporaryFolder(t)
  let priorities: number[] = []
  const run = train(tiny(out, { epochs: 5000 }), { isolate: { priority: 'low' } })
  const ended = heard(run, async ({ type }) => {
    if (type !== 'checkpoint' || priorities.length > 0) return
    priorities = await prioritiesOf(await workerOf(out))
    process.kill(await workerOf(out), 'SIGKILL')
  })
  const error = await failureOf(t, ended)
  const [newest] = await listCheckpoints(out)
  t.true(priorities.length > 0 && priorities.every((one) => one === 19), `${priorities}`)
  t.is(error.code, 'PROCESS')
  t.like(error.process, { exitCode: null, signal: 'SIGKILL', checkpoint: newest?.path })
  t.regex(error.subject, /^process \d+$/)
  t.regex(error.message, /ended by SIGKILL .* after step \d+; last checkpoint: .*\.safetensors$/)
})

test('abort() in the child rejects with PROCESS and its last words', async (t) => {
  const out = await temporaryFolder(t)
  const program = `process.on('SIGUSR2', () => {
    console.error('a last word')
    process.abort()
  })`
  const flag = `--import=${await writtenModule(t, program)}`
  const written: string[] = []
  const isolate = {
    priority: 'normal',
    execArgv: [...process.execArgv, flag],
    onOutput: (text: string, stream: string) => written.push(`${stream}: ${text}`),
  } as const
  let priorities: number[] = []
  const ended = heard(train(tiny(out, LONG), { isolate }), async ({ type }) => {
    if (type !== 'step' || priorities.length > 0) return
    priorities = await prioritiesOf(await workerOf(out))
    process.kill(await workerOf(out), 'SIGUSR2')
  })
  const error = await failureOf(t, ended)
  t.true(priorities.length > 0 && priorities.every((one) => one === getPriority()))
  t.like(error, { code: 'PROCESS', process: { signal: 'SIGABRT' } })
  t.regex(error.process?.output ?? '', /^a last word/m)
  t.regex(error.message, /it aborted.*\nits last words:\n(.*\n)*a last word/)
  t.true(written.join('').includes('stderr: a last word'))
})

test('a child above memoryLimitMB is ended, and the error says so', async (t) => {
  const out = await temporaryFolder(t)
  const run = train(tiny(out, LONG), { isolate: { memoryLimitMB: 150 } })
  const error = await failureOf(t, Promise.resolve(run))
  t.is(error.code, 'PROCESS')
  t.regex(error.message, /was ended: it used \d{3} MiB, memoryLimitMB allows 150/)
  t.is(error.process?.checkpoint, null)
})

test('what fails in the host after the start ends the child, and the call with it', async (t) => {
  const failure = new Error('no listener for you')
  const refuse = (): never => {
    throw failure
  }
  const signal = Object.assign(new EventTarget(), { addEventListener: refuse, aborted: false })
  const own = ownTransport()
  let pid = 0
  const transport: Transport = {
    ...own,
    start: async (request) => {
      const child = await own.start(request)
      pid = child.pid ?? 0
      return child
    },
  }
  const work = { job: 'embed', settings: {}, pictures: {} } as const
  const call = {
    ...work,
    signal: signal as unknown as AbortSignal,
    lastCheckpoint: async () => null,
  }
  await t.throwsAsync(callInChild(call, {}, transport), { is: failure })
  t.true(pid > 0)
  t.false(await isAlive(pid))
})

test('where the system has no more memory to give, the host gets an error and lives', async (t) => {
  const program = `
    const config = tiny(out, { batchSize: 128, imageSize: 224, data: samples(128) })
    const error = await train(config, { isolate: true }).then(() => null, (error) => error)
    console.log(error?.code)`
  const script = 'ulimit -v 4000000 && exec "$0" "$@"'
  const words = ['-c', script, process.execPath, ...wordsOf(program, await temporaryFolder(t))]
  const host = spawn('bash', words, { cwd: join(import.meta.dirname, '..') })
  let stdout = ''
  host.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  const code = await new Promise((resolve) => host.on('close', resolve))
  t.is(code, 0)
  t.regex(stdout, /^(PROCESS|TORCH|LOAD)\n$/)
})

test('the child is gone soon after its host was killed, with a checkpoint', async (t) => {
  const out = await temporaryFolder(t)
  const host = start(
    // Its three seconds for a checkpoint count on a busy machine too.
    `const isolate = { priority: 'normal' }
    const run = train(tiny(out, { epochs: 5000, checkpoint: { everyEpochs: 0 } }), { isolate })
    for await (const { type } of run) if (type === 'step') console.log(type)`,
    out,
  )
  await new Promise((resolve) => host.process.stdout?.once('data', resolve))
  const worker = await workerOf(out)
  t.true(worker !== host.process.pid && (await isAlive(worker)))
  host.process.kill('SIGKILL')
  t.is((await host.ended).signal, 'SIGKILL')
  const waited = await goneAfter(worker, 5000)
  t.true(waited < 5000, `${waited} ms`)
  t.is((await listCheckpoints(out)).length, 1)
})

test('a host never has libtorch in it and ends by itself', async (t) => {
  const program = `
    import { readFileSync } from 'node:fs'
    await train(tiny(out, { epochs: 1, data: samples(8), momentum: 0 }), { isolate: true })
    const maps = readFileSync('/proc/self/maps', 'utf8')
    console.log(/libtorch|nnclr[^/]*\\.node/.test(maps))
    const began = Date.now()
    process.on('exit', () => console.log(Date.now() - began < 2000))`
  const ended = await runProgram(program, await temporaryFolder(t))
  t.deepEqual(ended, { code: 0, signal: null, stdout: 'false\ntrue\n', stderr: '' })
})
