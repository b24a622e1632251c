import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { loadSafetensors, type TrainConfig } from '../ts/index.js'
import { samples } from './fixtures-pictures.js'
import { checkpointOf, differing, only, tiny, told } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** Two steps whose learning rate is not 0. */
const SHORT = { epochs: 1, momentum: 0, schedule: 'constant', warmupEpochs: 0 } as const

/** The checkpoint of two steps. */
async function trained(t: ExecutionContext, changes: Partial<TrainConfig>): Promise<string> {
  const { result } = await told(tiny(await temporaryFolder(t), { ...SHORT, ...changes }))
  return checkpointOf(result)
}

/** Tensors of the model that differ. */
async function differingModel(first: string, second: string): Promise<string[]> {
  return (await differing(first, second)).filter((name) => name.startsWith('model/'))
}

test('the learning rate warms up linearly and falls as a cosine', async (t) => {
  const schedule = { epochs: 3, warmupEpochs: 1, warmupStart: 0.01, lrEnd: 0.002 }
  const { events } = await told(tiny(await temporaryFolder(t), { ...schedule, momentum: 0 }))
  const [lr, start, end] = [0.05, 0.01, 0.002]
  // 2 steps of warm-up, then half a cosine over 4.
  const cosine = (step: number) => end + ((lr - end) * (1 + Math.cos((Math.PI * step) / 3))) / 2
  const expected = [start + (lr - start) / 2, lr, cosine(0), cosine(1), cosine(2), end]
  const got = only(events, 'step').map((event) => event.lr)
  t.is(got.length, expected.length)
  for (const [i, rate] of expected.entries()) t.true(Math.abs((got[i] ?? 0) - rate) < 1e-12)
})

test("without neighbours the bank is never looked at: its size doesn't matter", async (t) => {
  const small = await trained(t, { neighbours: 'none', memoryBank: { size: 8 } })
  const large = await trained(t, { neighbours: 'none', memoryBank: { size: 64, warmup: 'random' } })
  t.deepEqual(await differingModel(small, large), [])
})

test('neighbours, random rows, no neighbours and their warm-up are different trainings', async (t) => {
  const bank = { memoryBank: { size: 32, warmup: 'random' } } as const
  const none = await trained(t, { ...bank, neighbours: 'none' })
  const warming = await trained(t, { ...bank, neighbours: 'bank', neighbourWarmup: 1 })
  const looking = await trained(t, { ...bank, neighbours: 'bank', neighbourWarmup: 0 })
  const half = await trained(t, { ...bank, neighbours: 'bank', neighbourWarmup: 0.5 })
  const random = await trained(t, { ...bank, neighbours: 'random', neighbourWarmup: 0 })
  t.deepEqual(await differingModel(none, warming), [], 'warm-up to the end is no neighbours')
  for (const [one, other] of [
    [none, looking],
    [none, half],
    [looking, half],
    [looking, random],
    [none, random],
  ] as const) {
    t.true((await differingModel(one, other)).length > 10)
  }
})

test("what neighbours don't weigh is the other view's", async (t) => {
  const bank = { memoryBank: { size: 32, warmup: 'random' }, neighbourWarmup: 0 } as const
  const none = await trained(t, { ...bank, neighbours: 'none', neighbourWeight: 0.5 })
  const warming = await trained(t, { ...bank, neighbourWarmup: 1, neighbourWeight: 0.5 })
  t.deepEqual(await differingModel(none, warming), [], 'no effect without neighbours')
  for (const neighbours of ['bank', 'random'] as const) {
    const [nothing, half, whole] = [
      await trained(t, { ...bank, neighbours, neighbourWeight: 0 }),
      await trained(t, { ...bank, neighbours, neighbourWeight: 0.5 }),
      await trained(t, { ...bank, neighbours, neighbourWeight: 1 }),
    ]
    t.deepEqual(await differingModel(nothing, none), [], 'without weight they are not there')
    for (const [one, other] of [
      [half, none],
      [half, whole],
      [whole, none],
    ] as const) {
      t.true((await differingModel(one, other)).length > 10, neighbours)
    }
  }
})

test("SimCLR's loss counts where the other view is the positive, and there alone", async (t) => {
  const bank = { memoryBank: { size: 32, warmup: 'random' }, neighbourWarmup: 0 } as const
  const both = async (changes: Partial<TrainConfig>): Promise<string[]> => {
    const [simclr, predicted] = [
      await trained(t, { ...bank, ...changes, viewLoss: 'simclr' }),
      await trained(t, { ...bank, ...changes, viewLoss: 'predicted' }),
    ]
    return differingModel(simclr, predicted)
  }
  for (const neighbours of ['bank', 'random'] as const) {
    t.deepEqual(await both({ neighbours, neighbourWeight: 1 }), [], neighbours)
    t.true((await both({ neighbours, neighbourWeight: 0.5 })).length > 10, neighbours)
  }
  t.true((await both({ neighbours: 'none' })).length > 10)
  t.true((await both({ neighbourWarmup: 1, neighbourWeight: 1 })).length > 10)
})

test('labels never reach the weights', async (t) => {
  const plain = await trained(t, { data: samples(16, null) })
  const one = await trained(t, { data: samples(16, (i) => `${i % 2}`) })
  const other = await trained(t, { data: samples(16, (i) => `${i % 5}`) })
  // The bank remembers them for the same-class rate alone.
  t.deepEqual(await differing(one, other), ['bank/labels'])
  t.deepEqual(await differing(one, plain), ['bank/labels'])
})

test('the loss falls when one small set is seen again and again', async (t) => {
  const changes: Partial<TrainConfig> = {
    epochs: 5,
    neighbours: 'none',
    transform: { cropScale: [0.9, 1], jitter: 0, grayscale: 0 },
    checkpoint: { everyEpochs: 0 },
  }
  const { events } = await told(tiny(await temporaryFolder(t), changes))
  const losses = only(events, 'epoch').map(({ loss }) => loss)
  t.true((losses.at(-1) ?? 9) < 0.85 * (losses[0] ?? 0), losses.join(' '))
})

test('a held-back share is evaluated and not trained on', async (t) => {
  const changes = { ...SHORT, data: samples(20), validation: 0.2, evaluation: { k: 3 } }
  const { events, result } = await told(tiny(await temporaryFolder(t), changes))
  t.is(only(events, 'start')[0]?.pictures, 16)
  const evaluations = only(events, 'evaluation')
  t.deepEqual(
    evaluations.map(({ epoch, step }) => [epoch, step]),
    [
      [0, 0],
      [1, 2],
    ],
  )
  for (const event of evaluations)
    t.like(event, { references: 16, queries: 4, k: 3, imageSize: 16 })
  t.is(result.knnTop1, evaluations[1]?.knnTop1 ?? null)
})

test('separate validation pictures are classified by the nearest training pictures', async (t) => {
  const out = await temporaryFolder(t)
  const run = async (name: string, labelOf: (number: number) => string) => {
    const changes = { ...SHORT, evaluation: { k: 1 }, validation: samples(16, labelOf) }
    return (await told(tiny(join(out, name), changes))).events
  }
  // The same pictures: each is its own nearest neighbour.
  const right = only(await run('right', (i) => (i % 2 === 0 ? 'blue' : 'red')), 'evaluation')
  const wrong = only(await run('wrong', (i) => (i % 2 === 0 ? 'red' : 'blue')), 'evaluation')
  t.deepEqual(
    right.map(({ knnTop1, queries }) => [knnTop1, queries]),
    [
      [1, 16],
      [1, 16],
    ],
  )
  t.deepEqual(
    wrong.map(({ knnTop1 }) => knnTop1),
    [0, 0],
  )
})

test('evaluation.every 0 never evaluates, and 2 does so at every other epoch and the end', async (t) => {
  const out = await temporaryFolder(t)
  const changes = { ...SHORT, data: samples(10), validation: 0.2, checkpoint: { everyEpochs: 0 } }
  const never = await told(tiny(join(out, '0'), { ...changes, evaluation: { every: 0 } }))
  t.deepEqual(only(never.events, 'evaluation'), [])
  t.is(never.result.knnTop1, null)
  const other = { ...changes, epochs: 3, evaluation: { every: 2 } }
  const { events } = await told(tiny(join(out, '2'), other))
  t.deepEqual(
    only(events, 'evaluation').map(({ epoch }) => epoch),
    [0, 2, 3],
  )
})

test('bf16 begins with nearly the loss of fp32, with weights, bank and momentum in fp32', async (t) => {
  const run = async (precision: 'fp32' | 'bf16') =>
    told(tiny(await temporaryFolder(t), { precision, epochs: 2 }))
  const [exact, rough] = [await run('fp32'), await run('bf16')]
  const losses = (of: typeof exact): number[] => only(of.events, 'step').map(({ loss }) => loss)
  // Tiny batches amplify rounding from the second step on.
  const [first, firstRough] = [losses(exact)[0] ?? 0, losses(rough)[0] ?? 0]
  t.true(Math.abs(firstRough - first) < 0.03 * first, `${firstRough} against ${first}`)
  t.true(losses(rough).every(Number.isFinite))
  t.notDeepEqual(losses(rough), losses(exact))
  const state = await loadSafetensors(checkpointOf(rough.result))
  const dtypes = new Set([...state.values()].map(({ dtype }) => dtype))
  t.deepEqual([...dtypes].sort(), ['float32', 'int64'])
})
