import { join } from 'node:path'
import test from 'ava'
import {
  AdamW,
  CosineWarmupScheduler,
  clipGradNorm,
  LARS,
  loadSafetensors,
  Module,
  NNCLRPredictionHead,
  NNCLRProjectionHead,
  NNMemoryBankModule,
  NnclrError,
  NTXentLoss,
  noGrad,
  resnet10,
  SGD,
  saveSafetensors,
  synchronize,
  Tensor,
} from '../ts/index.js'
import { temporaryFolder } from './temporary-folder.js'

const matrix = (rows: number[][], requiresGrad = false): Tensor =>
  Tensor.from(Float32Array.from(rows.flat()), [rows.length, rows[0]?.length ?? 0], { requiresGrad })
const listed = async (x: Tensor): Promise<number[]> => Array.from(await x.toArray(), Number)
const wave = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i))

test('arithmetic follows PyTorch, broadcasting included', async (t) => {
  const a = matrix([
    [1, 2],
    [3, 4],
  ])
  const row = Tensor.from(Float32Array.of(10, 20))
  t.deepEqual(await listed(a.add(row)), [11, 22, 13, 24])
  t.deepEqual(await listed(a.sub(1)), [0, 1, 2, 3])
  t.deepEqual(await listed(a.mul(a).div(2)), [0.5, 2, 4.5, 8])
  t.deepEqual(await listed(a.matmul(a.t())), [5, 11, 11, 25])
  t.deepEqual(await listed(a.mean(0)), [2, 3])
  t.is(await a.sum().item(), 10)
  t.deepEqual(await listed(Tensor.cat([a, a], 1)), [1, 2, 1, 2, 3, 4, 3, 4])
  t.deepEqual(await listed(matrix([[3, 4]]).normalize()), [0.6000000238418579, 0.800000011920929])
  t.deepEqual(a.flatten().shape, [4])
  t.is(a.to('float64').dtype, 'float64')
})

test('backward leaves gradients, detach stops them, and they add up until forgotten', async (t) => {
  const w = matrix([[2, 3]], true)
  w.mul(w).sum().backward()
  w.mul(w.detach()).sum().backward()
  t.deepEqual(await listed(w.grad), [4 + 2, 6 + 3])
  new SGD([w], { lr: 0 }).zeroGrad()
  await t.throwsAsync(w.grad.toArray(), { message: /backward pass that reaches/ })
  w.mul(w).sum().backward()
  t.deepEqual(await listed(w.grad), [4, 6])
  await t.throwsAsync(matrix([[1]], true).grad.toArray(), { message: /backward pass that reaches/ })
})

test('noGrad records nothing and takes no async function', async (t) => {
  const w = matrix([[2, 3]], true)
  const loss = noGrad(() => w.mul(w).sum())
  t.is(await loss.item(), 13)
  loss.backward()
  await t.throwsAsync(synchronize(), { instanceOf: NnclrError, code: 'TORCH' } as never)
  t.throws(() => noGrad(async () => 1), { message: /noGrad/ })
})

test('a wrong shape or dtype throws at the call, with the stack of the caller', (t) => {
  const a = matrix([[1, 2]])
  const cases: (() => unknown)[] = [
    () => a.matmul(a),
    () => a.add(matrix([[1, 2, 3]])),
    () => a.add(a.to('float64')),
    () => a.mean(2),
    () => Tensor.cat([a, matrix([[1], [2]])]),
    () => Tensor.from(Float32Array.of(1, 2, 3), [2, 2]),
    () => a.backward(),
    () => a.item(),
    () => new NNCLRPredictionHead(3, 4, 2).forward(a),
    () => resnet10().forward(a),
    () => new NNMemoryBankModule({ size: [4, 3] }).forward(a),
    () => new NTXentLoss().forward(a, matrix([[1, 2, 3]])),
  ]
  for (const wrong of cases.filter((_, i) => i !== 7)) {
    const error = t.throws(wrong, { instanceOf: NnclrError }, wrong.toString())
    t.is(error?.code, 'SHAPE', wrong.toString())
    t.true(error?.stack?.includes('tensor.spec'), error?.stack)
  }
})

test('what fails later rejects the awaits that depend on it, and names the call', async (t) => {
  const head = new NNCLRProjectionHead(4, 8, 2)
  const one = Tensor.from(wave(4), [1, 4])
  const after = head.forward(one).sum()
  const error = await t.throwsAsync(after.item(), { instanceOf: NnclrError })
  t.is((error as NnclrError).code, 'SHAPE')
  t.regex(error?.message ?? '', /NNCLRProjectionHead\.forward, called at .*tensor\.spec/)
  t.is(await one.sum().item(), await one.sum().item(), 'others are untouched')
})

test('after a failed backward the optimizer does not step, and the next await is told', async (t) => {
  const w = matrix([[1, 1]], true)
  const optimizer = new SGD([w], { lr: 1 })
  w.sum().backward()
  matrix([[1]])
    .sum()
    .backward()
  optimizer.step()
  const error = await t.throwsAsync(w.toArray(), { instanceOf: NnclrError })
  t.regex(error?.message ?? '', /backward, called at .*tensor\.spec/)
  t.deepEqual(await listed(w), [1, 1])
  optimizer.step()
  t.deepEqual(await listed(w), [0, 0], 'and goes on afterwards')
})

class Network extends Module {
  readonly backbone = resnet10({ stem: 'small' })
  readonly projectionHead = new NNCLRProjectionHead(512, 16, 8)
  readonly predictionHead = new NNCLRPredictionHead(8, 16, 8)
}

test('a module names its tensors as lightly does, and they travel through a file', async (t) => {
  const folder = await temporaryFolder(t)
  const [one, two] = [new Network(), new Network()]
  const names = [...one.stateDict().keys()]
  t.true(names.includes('backbone.layer1.0.bn1.running_mean'))
  t.true(names.includes('projection_head.layers.0.weight'))
  t.true(names.includes('prediction_head.layers.3.bias'))
  t.false(one.namedParameters().some(([name]) => name.includes('running')))
  for (const parameter of one.parameters()) parameter.copy_(parameter.mul(0.5))
  const path = join(folder, 'weights.safetensors')
  await saveSafetensors(path, one.stateDict())
  t.deepEqual(two.loadStateDict(await loadSafetensors(path)), { missing: [], unexpected: [] })
  const x = Tensor.from(wave(2 * 3 * 16 * 16), [2, 3, 16, 16])
  const features = (net: Network): Promise<number[]> => listed(net.eval().backbone.forward(x))
  t.deepEqual(await features(two), await features(one))
})

test('loadStateDict checks every name and shape before the first copy', async (t) => {
  const head = new NNCLRPredictionHead(4, 8, 2)
  const before = await listed(head.parameters()[0] as Tensor)
  const other = new NNCLRPredictionHead(4, 8, 3).stateDict()
  t.throws(() => head.loadStateDict(other), { instanceOf: NnclrError, message: /layers\.3/ })
  const partial = new Map([...other].filter(([name]) => name !== 'layers.3.bias'))
  t.throws(() => head.loadStateDict(partial), { message: /missing layers\.3\.bias/ })
  t.deepEqual(await listed(head.parameters()[0] as Tensor), before)
})

test('train and eval reach the children; freezing keeps a parameter as it is', async (t) => {
  const net = new Network()
  t.false(net.eval().predictionHead.training)
  t.true(net.train().backbone.training)
  const head = new NNCLRPredictionHead(2, 4, 2)
  const frozen = (head.parameters()[0] as Tensor).requiresGrad_(false)
  const [was, bias] = [await listed(frozen), head.parameters().at(-1) as Tensor]
  const optimizer = new SGD(head.parameters(), { lr: 0.5 })
  head
    .forward(
      matrix([
        [1, 2],
        [3, 5],
        [0, 1],
      ]),
    )
    .sum()
    .backward()
  optimizer.step()
  t.deepEqual(await listed(frozen), was)
  t.notDeepEqual(await listed(bias), [0, 0])
})

test('parameter groups have a rate and a decay of their own; LARS and AdamW step too', async (t) => {
  const [a, b] = [matrix([[1, 1]], true), matrix([[1, 1]], true)]
  const optimizer = new SGD([{ params: [a] }, { params: [b], lr: 1, weightDecay: 0.5 }], {
    lr: 0.1,
  })
  a.add(b).sum().backward()
  optimizer.step()
  t.deepEqual(await listed(a), [0.8999999761581421, 0.8999999761581421])
  t.deepEqual(await listed(b), [-0.5, -0.5])
  for (const make of [
    (w: Tensor) => new LARS([w], { lr: 0.1, momentum: 0.9 }),
    (w: Tensor) => new AdamW([w], { lr: 0.1 }),
  ]) {
    const w = matrix([[1, 2]], true)
    const other = make(w)
    w.mul(w).sum().backward()
    other.step()
    const [x, y] = await listed(w)
    t.true((x ?? 1) < 1 && (y ?? 2) < 2)
  }
  t.throws(() => new SGD([], { lr: 0.1 }), { message: /params/ })
  t.throws(() => new SGD([a], { lr: Number.NaN }), { message: /lr/ })
})

test('clipGradNorm shortens all gradients together, and says how long they were', async (t) => {
  const [a, b] = [matrix([[3]], true), matrix([[4]], true)]
  a.mul(3).add(b.mul(4)).sum().backward()
  t.is(await clipGradNorm([a, b], 1).item(), 5)
  const [x, y] = [await listed(a.grad), await listed(b.grad)]
  t.true(Math.abs((x[0] ?? 0) - 0.6) < 1e-5 && Math.abs((y[0] ?? 0) - 0.8) < 1e-5)
  t.is(Number((await clipGradNorm([a, b], 10).item()).toFixed(4)), 1)
  t.throws(() => clipGradNorm([a], 0), { message: /maxNorm/ })
})

test("the scheduler gives lightly's warm-up and cosine", (t) => {
  const optimizer = new SGD([matrix([[1]], true)], { lr: 0.4 })
  const scheduler = new CosineWarmupScheduler(optimizer, { warmupSteps: 8, maxSteps: 40 })
  t.is(optimizer.lrs[0], 0.05)
  for (let step = 0; step < 7; step++) scheduler.step()
  t.is(optimizer.lrs[0], 0.4)
  for (let step = 7; step < 40; step++) scheduler.step()
  t.is(optimizer.lrs[0], 0)
})

test('memory that cannot be had is an error of the await, and the engine goes on', async (t) => {
  const side = 2_000_000
  const column = Tensor.from(new Float32Array(side), [side, 1])
  const row = Tensor.from(new Float32Array(side), [1, side])
  const error = await t.throwsAsync(column.add(row).sum().item(), { instanceOf: NnclrError })
  t.is((error as NnclrError).code, 'TORCH')
  t.regex(error?.message ?? '', /add, called at .*tensor\.spec/)
  t.is(await row.sum().item(), 0)
})

test('a disposed tensor says so', (t) => {
  const a = matrix([[1]])
  a.dispose()
  a.dispose()
  t.is(t.throws(() => a.add(1), { instanceOf: NnclrError })?.code, 'DISPOSED')
})
