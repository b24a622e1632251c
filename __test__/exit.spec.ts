import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import test, { type ExecutionContext } from 'ava'
import { train } from '../ts/index.js'
import { type Ended, run } from './fixtures-child.js'
import { samples } from './fixtures-pictures.js'
import { tiny } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** Runs of the tiny training; a campaign sets more. */
const RUNS = Number(process.env['NNCLR_EXIT_RUNS'] ?? 4)
/** Processes at a time. */
const PAIR = 2

/** Ends with code 0, without a word: a crash has a signal, a lost thread an abort's text. */
function isQuiet(t: ExecutionContext, { code, signal, stderr }: Ended, what: string): void {
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' }, what)
}

/** Runs `count` programs, a pair at a time. */
async function each(count: number, one: (number: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) await one(next++)
  }
  await Promise.all(Array.from({ length: PAIR }, lane))
}

test.serial('process.exit(0) amid training exits with 0 and without a crash', async (t) => {
  const out = await temporaryFolder(t)
  await each(4, async (number) => {
    const delay = randomInt(0, 600)
    const program = `
      // Every other run is always amid a step, the others mostly amid a save.
      const checkpoint = { everyEpochs: 0, everySteps: ${number % 2} }
      const run = train(tiny(out, { epochs: 500, checkpoint }))
      run.catch((error) => console.error(error))
      for await (const { type } of run) {
        if (type === 'step') break
      }
      setTimeout(() => process.exit(0), ${delay})`
    isQuiet(t, await run(program, join(out, `${number}`)), `exit after ${delay} ms`)
  })
})

test.serial(
  'an uncaught error amid training ends with code 1 and its text, not in a crash',
  async (t) => {
    const program = `
    for await (const { type } of train(tiny(out, { epochs: 500, checkpoint: { everyEpochs: 0 } }))) {
      if (type === 'step') setTimeout(() => { throw new Error('the caller failed') }, 40)
    }`
    const { code, signal, stderr } = await run(program, await temporaryFolder(t))
    t.deepEqual({ code, signal }, { code: 1, signal: null })
    t.regex(stderr, /the caller failed/)
  },
)

test.serial('process.exit(0) while it begins exits with 0 and without a crash', async (t) => {
  const out = await temporaryFolder(t)
  await each(2, async (number) => {
    const delay = number * randomInt(1, 300)
    const program = `
      train(tiny(out)).catch((error) => console.error(error))
      setTimeout(() => process.exit(0), ${delay})`
    isQuiet(t, await run(program, join(out, `${number}`)), `exit after ${delay} ms`)
  })
})

test.serial('a tiny training ends by itself with exit code 0, every time', async (t) => {
  t.true(RUNS >= 1)
  const out = await temporaryFolder(t)
  const program = `
    const { steps } = await train(tiny(out, { epochs: 1, data: samples(8), momentum: 0 }))
    console.log(steps)`
  await each(RUNS, async (number) => {
    const ended = await run(program, join(out, `${number}`))
    isQuiet(t, ended, `run ${number}`)
    t.is(ended.stdout, '1\n')
  })
})

/** Trains in a Worker on the native handles alone: Node 20 runs no TypeScript there. */
const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const native = require(workerData.binding)
  async function main() {
    const sources = workerData.pictures.map((picture) => new Uint8Array(picture))
    const set = new native.PictureSet({ sources, cacheBytes: 0, maxPixels: 1e6, maxBytes: 1e6,
      background: [255, 255, 255] })
    const loader = new native.Loader(set, { ...workerData.loader })
    const session = await native.Session.create(workerData.session)
    for (let step = 0; ; step++) {
      const batch = await loader.load(Uint32Array.from(sources.keys()), step)
      const { loss } = await session.step(batch, { lr: 0.01, positive: 'bank' })
      batch.dispose()
      parentPort.postMessage(loss)
    }
  }
  main()`

test.serial(
  'a Worker loads, trains and is terminated amid a step; the process exits with 0',
  async (t) => {
    const program = `
    import { Worker } from 'node:worker_threads'
    import { fileURLToPath } from 'node:url'
    import { viewOptions } from './ts/loader.js'
    import { presets } from './ts/presets.js'
    const binding = process.cwd() + '/ts/binding/index.cjs'
    const workerData = {
      binding,
      pictures: samples(8).map(({ bytes }) => bytes),
      loader: { views: viewOptions(presets.default.transform), size: 16, seed: 0, workers: 1,
        onBadImage: 'error' },
      session: { backbone: 'resnet10', stem: 'small', projectionHidden: 16, out: 8,
        predictionHidden: 16, bankSize: 32, bankOnlyFilled: true, loss: 'paper', temperature: 0.2, viewLoss: 'simclr',
        optimizer: 'sgd', momentum: 0, nesterov: false, weightDecay: 0, excludeNorms: false,
        trustCoefficient: 0.001, precision: "fp32", device: 'cpu', seed: 0, threads: 1 },
    }
    for (let round = 0; round < 2; round++) {
      const worker = new Worker(${JSON.stringify(WORKER)}, { eval: true, workerData, execArgv: [] })
      worker.on('error', (error) => console.error(error))
      await new Promise((resolve) => {
        let losses = 0
        worker.on('message', (loss) => {
          if (Number.isFinite(loss)) losses += 1
          if (losses === 2) setTimeout(resolve, 50 * round)
        })
        worker.on('exit', resolve)
      })
      console.log(await worker.terminate())
    }`
    const ended = await run(program, await temporaryFolder(t))
    isQuiet(t, ended, 'terminated')
    t.is(ended.stdout, '1\n1\n')
  },
)

test.serial('the event loop stays free while training', async (t) => {
  const config = tiny(await temporaryFolder(t), {
    data: samples(24),
    checkpoint: { everySteps: 1 },
  })
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  await train(config)
  delay.disable()
  const p99 = delay.percentile(99) / 1e6
  t.log(`p99 ${p99.toFixed(1)} ms, longest ${(delay.max / 1e6).toFixed(1)} ms`)
  t.true(p99 < 200)
})
