import test from 'ava'
import { type Failure, quiet, ranks } from '../fixtures-group.js'

test.serial('gradients that add up without communication are exact', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 20 })
    const model = new nnclr.NNCLRPredictionHead(6, 8, 4, { seed: group.rank }).to('cpu', 'float64')
    const ddp = new nnclr.DistributedDataParallel(model)
    const loss = (forward, rank, part) =>
      forward(fixtures.noise(10 * rank + part, [5, 6])).mul(fixtures.noise(7, [5, 4])).sum()
    const gradients = () => new Map(model.namedParameters().map(([name, { grad }]) => [name, grad.mul(1)]))
    const forget = () => new nnclr.SGD(model.parameters(), { lr: 0 }).zeroGrad()
    const plain = (x) => model.forward(x)
    const through = (x) => ddp.forward(x)

    // One process: every part of every rank, and the mean over the ranks.
    for (const rank of [0, 1]) for (const part of [0, 1]) loss(plain, rank, part).mul(0.5).backward()
    const expected = gradients()
    forget()
    ddp.noSync(() => loss(through, group.rank, 0).backward())
    const local = gradients()
    loss(through, group.rank, 1).backward()
    told.accumulated = await fixtures.distance(expected, gradients())
    forget()
    loss(plain, group.rank, 0).backward()
    told.local = await fixtures.distance(gradients(), local)
    forget()

    // Two backward passes after two forward passes, with one that is no rank's but rank 0's between.
    const both = [0, 1].map((part) => loss(through, group.rank, part))
    both[0].backward()
    if (group.rank === 0) {
      const probe = new nnclr.NNCLRPredictionHead(6, 8, 4).to('cpu', 'float64')
      probe.forward(fixtures.noise(3, [5, 6])).sum().backward()
    }
    both[1].backward()
    told.twice = await fixtures.distance(expected, gradients())
    told.promise = await failure(async () => ddp.noSync(async () => {}))
    told.moved = await failure(async () => ddp.to('cpu'))
    class Empty extends nnclr.Module { forward() {} }
    told.empty = await failure(async () => new nnclr.DistributedDataParallel(new Empty()))
    told.names = ddp.namedParameters().map(([name]) => name)
    await group.leave()`
  type Told = Record<'accumulated' | 'local' | 'twice', number> &
    Record<'promise' | 'moved' | 'empty', Failure> & { names: string[] }
  for (const told of quiet(t, await ranks<Told>(program, 2))) {
    t.true(told.accumulated < 1e-13, `accumulated ${told.accumulated}`)
    t.true(told.local < 1e-13, `local ${told.local}`)
    t.true(told.twice < 1e-13, `twice ${told.twice}`)
    t.is(told.promise.code, 'CONFIG')
    t.is(told.moved.code, 'CONFIG')
    t.regex(told.empty.message, /module: got Empty, expected a module with parameters/)
    t.is(told.names[0], 'module.layers.0.weight')
  }
})

test.serial('a frozen backbone trains its heads only, on every rank alike', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 20 })
    class Two extends nnclr.Module {
      frozen = new nnclr.NNCLRPredictionHead(6, 8, 6, { seed: group.rank })
      trained = new nnclr.NNCLRPredictionHead(6, 8, 4, { seed: group.rank })
      forward(x) {
        // An output that holds itself, and what was given.
        const all = { y: [this.trained.forward(this.frozen.forward(x))], x }
        all.all = all
        return all
      }
    }
    const model = new Two()
    model.frozen.requiresGrad_(false)
    const ddp = new nnclr.DistributedDataParallel(model)
    const optimizer = new nnclr.SGD(model.trained.parameters(), { lr: 0.1 })
    for (let step = 0; step < 3; step++) {
      const x = fixtures.noise(10 * group.rank + step, [5, 6]).to('float32')
      ddp.forward(x).y[0].sum().backward()
      told.marks = x.reducers.size
      optimizer.step()
      optimizer.zeroGrad()
    }
    const sums = model.parameters().map((parameter) => parameter.mul(parameter).sum())
    told.lengths = []
    for (const sum of sums) told.lengths.push(await sum.item())
    await group.leave()`
  const [first, second] = quiet(t, await ranks<{ lengths: number[]; marks: number }>(program, 2))
  t.true((first?.lengths.length ?? 0) > 4)
  t.is(first?.marks, 0, 'what was given is not of this module')
  t.deepEqual(first, second)
})

test.serial('networks of other shapes are an error that names both, before a step', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 20 })
    const model = new nnclr.NNCLRPredictionHead(6, 8 + group.rank, 4)
    told.differ = await failure(async () => {
      const ddp = new nnclr.DistributedDataParallel(model)
      await ddp.forward(Tensor.from(new Float32Array(12), [2, 6])).sum().item()
      await nnclr.synchronize()
    })
    await group.leave('the networks differ')`
  for (const { differ } of quiet(t, await ranks<{ differ: Failure }>(program, 2))) {
    t.is(differ.code, 'DISTRIBUTED')
    const both = /rank 1 brings layers\.0\.weight Float \[9, 6\] where rank 0 brings .* \[8, 6\]/
    t.regex(differ.message, both)
    t.true(differ.seconds < 5)
  }
})

test.serial('a rank that ends after fewer steps is named by the others', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 20 })
    told.left = await failure(() => fixtures.headSteps(group.rank === 0 ? 4 : 2))
    if (group.rank === 0) await group.leave('rank 1 is gone')`
  const [first, second] = quiet(t, await ranks<{ left: Failure | null }>(program, 2))
  t.is(second?.left, null)
  t.is(first?.left?.code, 'DISTRIBUTED')
  t.regex(first?.left?.message ?? '', /rank 1 does not answer: gone, or hanging/)
  t.true((first?.left?.seconds ?? 99) < 8)
})
