import { fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import type { TrainEvent } from '../ts/index.js'
import {
  type ElectronLike,
  electronTransport,
  ownElectron,
  type UtilityProcessLike,
} from '../ts/isolate/electron-transport.js'
import type { ProcessExit } from '../ts/isolate/transport.js'
import { trainInChild } from '../ts/isolate.js'
import { failureOf, workerOf, writtenModule } from './fixtures-isolate.js'
import { tiny } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/**
 * What Electron gives its utility processes, made of what Node gives its children. A message is on its
 * way some time after `postMessage` has returned.
 */
const PARENT_PORT = `
  import { EventEmitter } from 'node:events'
  const port = new EventEmitter()
  port.postMessage = (message) => setTimeout(() => process.send(message), 10)
  port.once('newListener', () => process.on('message', (data) => port.emit('message', { data })))
  process.parentPort = port`

/** Electron's main process as far as it is used here. */
function fakeElectron(parentPort: string): ElectronLike & { readonly asked: string[] } {
  const asked: string[] = []
  const utilityProcess: ElectronLike['utilityProcess'] = {
    fork: (path, args, { execArgv, ...options }) => {
      asked.push(`fork ${options.serviceName}`)
      const child = fork(path, args, {
        ...options,
        execArgv: [...process.execArgv, ...execArgv, `--import=${parentPort}`],
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        serialization: 'advanced',
      })
      const post = (message: unknown): void => void child.send(message as object)
      return Object.assign(new EventEmitter(), {
        ...{ pid: child.pid, stdout: child.stdout, stderr: child.stderr, postMessage: post },
        kill: () => child.kill(),
        on: (event: 'message', use: (message: unknown) => void) => child.on(event, use),
        once: (event: 'spawn' | 'exit', use: (code: number) => void) => child.once(event, use),
      }) as UtilityProcessLike
    },
  }
  return { asked, utilityProcess, app: { whenReady: async () => void asked.push('whenReady') } }
}

test("the messages are the same through Electron's interface", async (t) => {
  t.is(ownElectron(), null)
  const electron = fakeElectron(await writtenModule(t, PARENT_PORT))
  const types: TrainEvent['type'][] = []
  const out = await temporaryFolder(t)
  const emit = ({ type }: TrainEvent): void => {
    types.push(type)
    // SIGTERM is for the child alone: it stops with a checkpoint, as the caller's signal would.
    if (type === 'step') void workerOf(out).then((pid) => process.kill(pid, 'SIGTERM'))
  }
  const result = await trainInChild(
    tiny(out, { epochs: 500 }),
    {},
    emit,
    electronTransport(electron),
  )
  t.true(result.stopped && result.checkpoint !== null)
  t.deepEqual([types[0], types.at(-1)], ['start', 'end'])
  t.deepEqual(electron.asked, ['whenReady', 'fork nnclr'])
})

test('the word of a child above its memory limit is on its way before the child ends', async (t) => {
  const electron = fakeElectron(await writtenModule(t, PARENT_PORT))
  const config = tiny(await temporaryFolder(t), { epochs: 5000, checkpoint: { everyEpochs: 0 } })
  const limit = { memoryLimitMB: 150 }
  const run = trainInChild(config, limit, () => {}, electronTransport(electron))
  const { code, message } = await failureOf(t, run)
  t.is(code, 'PROCESS')
  t.regex(message, /was ended: it used \d{3} MiB, memoryLimitMB allows 150/)
})

/** A utility process that writes what a test writes, with all that was heard of it. */
async function written(): Promise<{
  stdout: PassThrough
  stderr: PassThrough
  heard: string[]
  /** Ends it as Electron does: all listeners are off the streams when its event is over. */
  exit(code: number): Promise<ProcessExit>
}> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const methods = { postMessage: () => {}, kill: () => true }
  const child = Object.assign(new EventEmitter(), { pid: 1, stdout, stderr, ...methods })
  const ended = new EventEmitter()
  const heard: string[] = []
  const fakeFork = (): UtilityProcessLike => {
    setImmediate(() => child.emit('spawn'))
    return child
  }
  const transport = electronTransport({
    app: { whenReady: async () => {} },
    utilityProcess: { fork: fakeFork },
  })
  await transport.start({
    ...{ entry: '', execArgv: [], env: {} },
    onMessage: () => {},
    onOutput: (text, stream) => heard.push(`${stream}: ${text}`),
    onExit: (exit) => ended.emit('exit', exit),
  })
  const exit = async (code: number): Promise<ProcessExit> => {
    const told = once(ended, 'exit')
    child.emit('exit', code)
    for (const stream of [stdout, stderr]) stream.removeAllListeners()
    return (await told)[0] as ProcessExit
  }
  return { stdout, stderr, heard, exit }
}

test('its output arrives whole: what comes after its exit, and letters in two parts', async (t) => {
  const { stdout, stderr, heard, exit } = await written()
  const letter = Buffer.from('ö')
  stderr.write(letter.subarray(0, 1))
  await sleep(1)
  stderr.write(letter.subarray(1))
  await sleep(1)
  stderr.write('before')
  const began = Date.now()
  const exited = exit(3)
  await sleep(20)
  t.is(heard.join(), 'stderr: ö,stderr: before')
  stderr.end('after')
  stdout.end('last')
  t.deepEqual(await exited, { code: 3, signal: null })
  t.true(Date.now() - began < 900)
  t.deepEqual(heard.slice(2).sort(), ['stderr: after', 'stdout: last'])
})

test('a grandchild that holds its streams open is waited for a second', async (t) => {
  const { stderr, exit } = await written()
  const began = Date.now()
  stderr.end()
  t.is((await exit(0)).code, 0)
  const waited = Date.now() - began
  t.true(waited >= 900 && waited < 3000, `${waited} ms`)
})
