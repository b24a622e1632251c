/** What the algorithm promises, seen from outside: a breach costs a few points that no accuracy test shows. */

import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type TrainConfig, train } from '../ts/index.js'
import { epochOrder } from '../ts/sampler.js'
import { rewriteCheckpoint } from './fixtures-checkpoint.js'
import { samples } from './fixtures-pictures.js'
import { checkpointOf, differing, only, partsOf, type Told, tiny, told } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** Two steps, each with the same learning rate and the bank's neighbours. */
const TWO: Partial<TrainConfig> = {
  epochs: 1,
  schedule: 'constant',
  warmupEpochs: 0,
  neighbourWarmup: 0,
  momentum: 0,
}
/** One of them. */
const ONE: Partial<TrainConfig> = { ...TWO, data: samples(8) }

async function trained(t: ExecutionContext, changes: Partial<TrainConfig>): Promise<Told> {
  return told(tiny(await temporaryFolder(t), changes))
}

/** An integer tensor of a checkpoint. */
async function integers(path: string, name: string): Promise<number[]> {
  const { bytes } = (await partsOf(path)).tensors.get(name) ?? { bytes: Buffer.alloc(0) }
  const count = bytes.length / 8
  return Array.from({ length: count }, (_, i) => Number(bytes.readBigInt64LE(8 * i)))
}

test('the bank is looked at before it takes rows: none of this step is a neighbour', async (t) => {
  for (const memoryBank of [{ size: 32 }, { size: 4 }, { size: 32, warmup: 'random' }] as const) {
    const { events } = await trained(t, { ...TWO, memoryBank })
    // A sample comes once an epoch: it can meet itself only in its own step.
    const rates = only(events, 'step').map(({ selfNeighbourRate }) => selfNeighbourRate)
    t.deepEqual(rates, [0, 0])
  }
})

test('a batch that crosses the end of the bank goes on at its start, whole', async (t) => {
  const { result } = await trained(t, { ...TWO, memoryBank: { size: 12 } })
  const order = [...epochOrder(16, { seed: 0, epoch: 0, shuffle: true })]
  const ring = [...order.slice(12, 16), ...order.slice(4, 8), ...order.slice(8, 12)]
  const path = checkpointOf(result)
  t.deepEqual(await integers(path, 'bank/samples'), ring)
  t.deepEqual(await integers(path, 'bank/counters'), [4, 12, 2], 'position, filled, pushes')
})

for (const neighbours of ['bank', 'none', 'random'] as const) {
  test(`no gradient reaches the network but through p: ${neighbours}`, async (t) => {
    const out = await temporaryFolder(t)
    const config = {
      ...ONE,
      neighbours,
      viewLoss: 'predicted',
      weightDecay: 0,
      memoryBank: { size: 32, warmup: 'random' },
    } as const
    const start = await train(tiny(out, { ...config, signal: AbortSignal.abort() }))
    // With its last weights at zero the prediction head hands no gradient down.
    const dead = 'model/prediction_head.layers.3.weight'
    const zero = (name: string, bytes: Buffer): unknown => name === dead && bytes.fill(0)
    await rewriteCheckpoint(checkpointOf(start), { tensor: zero })
    const after = await train(tiny(out, { ...config, resume: true }))
    t.is(after.steps, 1)
    const changed = await differing(checkpointOf(start), checkpointOf(after))
    const isMeasured = (name: string) =>
      /\.(running_mean|running_var|num_batches_tracked)$/.test(name)
    const moved = changed.filter((name) => name.startsWith('model/') && !isMeasured(name))
    t.deepEqual(moved, ['model/prediction_head.layers.3.bias', dead])
  })
}

test('the two views are two draws, and find two neighbours', async (t) => {
  const { events } = await trained(t, { ...ONE, memoryBank: { size: 512, warmup: 'random' } })
  // Equal views would find each neighbour twice.
  t.true((only(events, 'step')[0]?.uniqueNeighbours ?? 0) > 0.5)
})

test('each view has its own batch-norm statistics', async (t) => {
  const path = checkpointOf((await trained(t, TWO)).result)
  const names = [...(await partsOf(path)).tensors.keys()]
  const counters = names.filter((name) => name.endsWith('num_batches_tracked'))
  t.true(counters.length > 10)
  for (const name of counters) t.deepEqual(await integers(path, name), [4], name)
})

test('the temperature reaches the loss', async (t) => {
  for (const loss of ['nt-xent', 'paper'] as const) {
    const first = async (temperature: number): Promise<number> => {
      const { events } = await trained(t, { ...ONE, neighbours: 'none', loss, temperature })
      return only(events, 'step')[0]?.loss ?? 0
    }
    const [warm, cold, again] = [await first(0.5), await first(0.1), await first(0.5)]
    t.true(Math.abs(warm - cold) > 0.05, `${loss}: ${warm} and ${cold}`)
    t.is(again, warm)
  }
})

test('a checkpoint holds the bank and the momentum of every trained tensor', async (t) => {
  const memoryBank = { size: 32, warmup: 'random' } as const
  const { result } = await trained(t, { ...ONE, memoryBank, momentum: 0.9 })
  const { tensors } = await partsOf(checkpointOf(result))
  const isMeasured = /\.(running_mean|running_var|num_batches_tracked)$/
  const parameters = [...tensors.keys()].filter(
    (name) => /^model\//.test(name) && !isMeasured.test(name),
  )
  t.true(parameters.length > 30)
  for (const name of parameters) {
    const momentum = tensors.get(`${name.replace('model/', 'optimizer/')}.momentum`)
    t.deepEqual(momentum?.shape, tensors.get(name)?.shape, name)
    t.true(
      momentum?.bytes.some((byte) => byte !== 0),
      `${name} has gathered no momentum`,
    )
  }
  const bank = [...tensors.keys()].filter((name) => name.startsWith('bank/'))
  const parts = ['counters', 'labels', 'lengths', 'rows', 'samples', 'written']
  t.deepEqual(
    bank.sort(),
    parts.map((name) => join('bank', name)),
  )
})
