import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type TrainConfig, train } from '../../ts/index.js'
import { listCheckpoints } from '../../ts/run-directory.js'
import { heard } from '../fixtures-isolate.js'
import { writePictures } from '../fixtures-pictures.js'
import { distances, isQuiet, marked, onRanks, printed, program } from '../fixtures-ranks.js'
import { checkpointOf, differing, jsonLines, partsOf, TINY, tiny } from '../fixtures-runs.js'
import { temporaryFolder } from '../temporary-folder.js'

/** One step an epoch, small ones: rounding differences grow from step to step, through both z faster still. */
const SETTINGS: Partial<TrainConfig> = {
  epochs: 4,
  validation: 0.25,
  batchSize: 12,
  lr: 0.002,
  neighbourWarmup: 0,
  viewLoss: 'predicted',
}

/** Trains on `devices` ranks, to the end or to the first checkpoint after an epoch. */
async function trained(
  t: ExecutionContext,
  devices: number,
  { until, ...changes }: Partial<TrainConfig> & { until?: number } = {},
  out?: string,
): Promise<{ out: string; checkpoint: string; stopped: boolean }> {
  const folder = out ?? (await temporaryFolder(t))
  const stop = new AbortController()
  const config = tiny(folder, { ...SETTINGS, ...changes, devices, signal: stop.signal })
  const { result } = await heard(train(config), (event) => {
    if (event.type === 'epoch' && event.epoch === until) stop.abort()
  })
  return { out: folder, checkpoint: checkpointOf(result), stopped: result.stopped }
}

async function isNear(t: ExecutionContext, first: string, second: string): Promise<void> {
  for (const [name, distance] of await distances(first, second)) {
    t.true(distance < 1e-2, `${name}: ${distance}`)
  }
}

test('two runs on two ranks are equal, bit by bit, and so is one that was stopped and resumed', async (t) => {
  const [first, second] = [await trained(t, 2), await trained(t, 2)]
  t.deepEqual(await differing(first.checkpoint, second.checkpoint), [])
  const part = await trained(t, 2, { until: 2 })
  t.true(part.stopped)
  const whole = await trained(t, 2, { resume: true }, part.out)
  t.deepEqual(await differing(first.checkpoint, whole.checkpoint), [])
  const metrics = (out: string): Promise<string> => readFile(join(out, 'metrics.jsonl'), 'utf8')
  t.is(await metrics(whole.out), await metrics(first.out))
})

test('a run goes on with another number of ranks, within tolerance', async (t) => {
  const { checkpoint } = await trained(t, 1)
  for (const [before, after] of [
    [2, 1],
    [1, 2],
    [2, 3],
  ] as const) {
    const { out } = await trained(t, before, { until: 2 })
    const whole = await trained(t, after, { resume: true }, out)
    await isNear(t, checkpoint, whole.checkpoint)
  }
})

test('three and four ranks do what one process does', async (t) => {
  const { checkpoint } = await trained(t, 1, { epochs: 2 })
  for (const devices of [3, 4]) {
    await isNear(t, checkpoint, (await trained(t, devices, { epochs: 2 })).checkpoint)
  }
})

test('without synchronised batch norm two ranks are another training', async (t) => {
  const { checkpoint } = await trained(t, 1)
  const other = await trained(t, 2, { syncBatchNorm: false })
  const far = await distances(checkpoint, other.checkpoint)
  t.true(Math.max(...far.values()) > 0.1)
  const negatives = await trained(t, 2, { gatherNegatives: false })
  t.true(Math.max(...(await distances(checkpoint, negatives.checkpoint)).values()) > 0.03)
})

test('pictures that ranks cannot read are listed once, as on one rank', async (t) => {
  const folder = await temporaryFolder(t)
  const paths = await writePictures(folder, 20)
  for (const place of [3, 8, 14]) await writeFile(paths[place] as string, 'no picture')
  const lists: unknown[][] = []
  for (const devices of [1, 2]) {
    const { out } = await trained(t, devices, { data: folder, epochs: 2 })
    lists.push((await jsonLines(out, 'bad-images.jsonl')).map(({ path }) => path).sort())
  }
  t.is(lists[0]?.length, 3)
  t.deepEqual(lists[1], lists[0])
})

test('too many unreadable pictures end all ranks with the count of all', async (t) => {
  const folder = await temporaryFolder(t)
  const paths = await writePictures(folder, 40)
  for (const path of paths.slice(0, 22)) await writeFile(path, 'no picture')
  const run = train(tiny(await temporaryFolder(t), { data: folder, devices: 2 }))
  const error = await t.throwsAsync(Promise.resolve(run))
  t.like(error, { code: 'DECODE' })
  t.regex(error?.message ?? '', /^rank [01]: \d+ of 40 pictures cannot be read/)
})

test('every rank that joined has the same result, and rank 0 the events', async (t) => {
  const out = await temporaryFolder(t)
  const ended = await onRanks(
    `const run = train(tiny(out, { validation: 0.25 }))
     let events = 0
     for await (const _ of run) events++
     console.log(JSON.stringify({ events, result: await run }))`,
    out,
    2,
  )
  const [first, second] = ended.map(({ stdout, stderr }) => {
    t.is(stderr, '')
    return JSON.parse(stdout) as { events: number; result: object }
  })
  t.true((first?.events ?? 0) > 5)
  t.is(second?.events, 0)
  t.deepEqual(second?.result, first?.result)
})

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} to nnclr train leaves one checkpoint and exit code ${code}`, async (t) => {
    const [data, out] = [await temporaryFolder(t), await temporaryFolder(t)]
    await writePictures(data, 16)
    const config = join(data, 'config.json')
    await writeFile(
      config,
      JSON.stringify({ ...TINY, epochs: 5000, checkpoint: { everyEpochs: 0 }, devices: 2 }),
    )
    const words = ['train', data, '--out', out, '--config', config, '--json']
    const child = program(words, marked(out))
    await printed(child, /"type":"step"/)
    child.process.kill(signal)
    const ended = await child.ended
    t.is(ended.code, code, ended.stderr)
    t.is((await listCheckpoints(out)).length, 1)
    t.true(await isQuiet(out, 1000))
  })
}

test('a checkpoint holds no number of ranks', async (t) => {
  const { checkpoint, out } = await trained(t, 2, { epochs: 1 })
  const { metadata } = await partsOf(checkpoint)
  t.false(/devices|distributed|worldSize/.test(JSON.stringify(metadata)))
  t.true((await readFile(join(out, 'config.json'), 'utf8')).includes('"devices": 2'))
})
