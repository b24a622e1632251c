import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { openDataset } from '../ts/data/open-dataset.js'
import {
  DataLoader,
  loadSafetensors,
  Module,
  NNCLRPredictionHead,
  NNCLRProjectionHead,
  NNMemoryBankModule,
  NTXentLoss,
  type ResNet,
  resnet10,
  SGD,
  SimCLRTransform,
  Tensor,
} from '../ts/index.js'
import { loadBatches, openPictures, viewOptions } from '../ts/loader.js'
import { native } from '../ts/native.js'
import { presets } from '../ts/presets.js'
import { batches, naturals } from '../ts/sampler.js'
import { samples } from './fixtures-pictures.js'
import { temporaryFolder } from './temporary-folder.js'

class NNCLR extends Module {
  readonly backbone: ResNet = resnet10({ stem: 'small' })
  readonly projectionHead: NNCLRProjectionHead = new NNCLRProjectionHead(512, 16, 8)
  readonly predictionHead: NNCLRPredictionHead = new NNCLRPredictionHead(8, 16, 8)

  forward(x: Tensor): [z: Tensor, p: Tensor, live: Tensor] {
    const z = this.projectionHead.forward(this.backbone.forward(x).flatten(1))
    return [z.detach(), this.predictionHead.forward(z), z]
  }
}

/** Steps that are compared: in f64, where all bits are, half of them tell as much. */
const STEPS = { fp32: 20, fp64: 10 } as const

/** The fused step and the hand-written loop from the same weights, on the same batches. */
async function bothLosses(
  t: ExecutionContext,
  precision: 'fp32' | 'fp64',
  weight: number = 1,
  viewLoss: 'simclr' | 'predicted' = 'predicted',
): Promise<{ fused: number[]; written: number[] }> {
  const folder = await temporaryFolder(t)
  const data = samples(40)
  const { transform, ...settings } = presets.lightly
  const session = await native.Session.create({
    backbone: 'resnet10',
    stem: 'small',
    projectionHidden: 16,
    out: 8,
    predictionHidden: 16,
    bankSize: 20,
    bankOnlyFilled: false,
    loss: 'nt-xent',
    temperature: 0.2,
    viewLoss,
    optimizer: 'sgd',
    momentum: 0.9,
    nesterov: false,
    weightDecay: 1e-4,
    excludeNorms: false,
    trustCoefficient: 0.001,
    precision,
    device: 'cpu',
    seed: 5,
    threads: 1,
  })
  const start = join(folder, 'start.safetensors')
  await session.save(start, '{}')
  const state = new Map(
    [...(await loadSafetensors(start))].flatMap(([name, tensor]) =>
      name.startsWith('model/') ? [[name.slice('model/'.length), tensor] as const] : [],
    ),
  )
  const dtype = precision === 'fp64' ? 'float64' : 'float32'
  const model = new NNCLR().to('cpu', dtype)
  model.loadStateDict(state)
  const bank = new NNMemoryBankModule({ size: [20, 8], seed: 5, dtype })
  const criterion = new NTXentLoss({ temperature: 0.2 })
  const optimizer = new SGD(model.parameters(), { lr: 0.05, momentum: 0.9, weightDecay: 1e-4 })

  const pictures = openPictures(await openDataset(data), settings)
  const views = viewOptions(transform)
  const loader = new native.Loader(pictures, {
    views,
    size: 16,
    seed: 1,
    workers: 1,
    onBadImage: 'error',
  })
  const [fused, written]: [number[], number[]] = [[], []]
  for (let epoch = 0; fused.length < STEPS[precision]; epoch++) {
    for await (const batch of loadBatches(loader, batches(naturals(40), 8, true), epoch)) {
      const stats = await session.step(batch, {
        lr: 0.05,
        positive: 'bank',
        ...(weight === 1 ? {} : { neighbourWeight: weight }),
      })
      fused.push(stats.loss)
      const [x0, x1] = [0, 1].map((view) => Tensor.ofBatch(batch, view, 'cpu').to(dtype)) as [
        Tensor,
        Tensor,
      ]
      const [z0, p0, live0] = model.forward(x0)
      const [z1, p1, live1] = model.forward(x1)
      const n0 = bank.forward(z0, { update: false })
      const n1 = bank.forward(z1, { update: true })
      const neighbours = criterion.forward(n0, p1).add(criterion.forward(n1, p0)).mul(0.5)
      const others = { simclr: [live0, live1, live1, live0], predicted: [z0, p1, z1, p0] } as const
      const [a, b, c, d] = others[viewLoss]
      const other = () => criterion.forward(a, b).add(criterion.forward(c, d)).mul(0.5)
      const loss = weight === 1 ? neighbours : neighbours.mul(weight).add(other().mul(1 - weight))
      loss.backward()
      optimizer.step()
      optimizer.zeroGrad()
      written.push(await loss.item())
    }
  }
  loader.dispose()
  session.dispose()
  return { fused, written }
}

test('in f64 the hand-written loop is the fused step, bit for bit', async (t) => {
  const { fused, written } = await bothLosses(t, 'fp64')
  t.is(fused.length, STEPS.fp64)
  t.deepEqual(written, fused)
  t.notDeepEqual(fused.slice(0, 5), fused.slice(5), 'and it moves')
})

test('with a weight it is the sum of two losses, bit for bit', async (t) => {
  const { fused, written } = await bothLosses(t, 'fp64', 0.25)
  t.deepEqual(written, fused)
})

test("with SimCLR's loss for the views gradient flows through z too, bit for bit", async (t) => {
  const { fused, written } = await bothLosses(t, 'fp64', 0.25, 'simclr')
  t.deepEqual(written, fused)
  t.notDeepEqual(fused, (await bothLosses(t, 'fp64', 0.25)).fused)
})

test('in f32 they agree to 1e-6', async (t) => {
  const { fused, written } = await bothLosses(t, 'fp32')
  for (const [i, loss] of fused.entries()) {
    t.true(Math.abs((written[i] ?? 0) - loss) <= 1e-6 * Math.abs(loss), `step ${i}`)
  }
})

test('the loader holds back a loop that never awaits, and lets its views go', async (t) => {
  const data = samples(40)
  const transform = new SimCLRTransform({ inputSize: 16 })
  const loader = new DataLoader(data, {
    transform,
    batchSize: 4,
    shuffle: true,
    dropLast: true,
    numWorkers: 1,
  })
  const model = new NNCLR()
  let [asked, done, most] = [0, 0, 0]
  const kept: Tensor[] = []
  for await (const { views } of loader) {
    const loss = model.forward(views[0])[1].sum()
    asked += 1
    most = Math.max(most, asked - done)
    void loss.item().then(() => (done += 1))
    kept.push(views[0])
  }
  t.is(asked, 10)
  t.true(most <= 3, `${most} batches were waiting`)
  t.throws(() => kept[0]?.sum(), { message: /disposed/ })
  await loader.dispose()
})

test('two epochs of a loader differ, and another loader of the seed repeats them', async (t) => {
  const data = samples(12)
  const transform = new SimCLRTransform({ inputSize: 16 })
  const epochs = async (numWorkers: number): Promise<string[]> => {
    const loader = new DataLoader(data, {
      transform,
      batchSize: 4,
      shuffle: true,
      numWorkers,
      seed: 3,
    })
    t.is(await loader.steps(), 3)
    const seen: string[] = []
    for (let epoch = 0; epoch < 2; epoch++) {
      for await (const { views, indices } of loader) {
        seen.push(`${indices} ${await views[0].sum().item()} ${await views[1].sum().item()}`)
      }
    }
    await loader.dispose()
    return seen
  }
  const first = await epochs(1)
  t.deepEqual(await epochs(3), first)
  t.is(new Set(first).size, 6)
})
