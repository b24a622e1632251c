import { availableParallelism } from 'node:os'
import test from 'ava'
import {
  destroyProcessGroup,
  getProcessGroup,
  type InitProcessGroupOptions,
  initProcessGroup,
  NnclrError,
} from '../ts/index.js'
import { type Failure, freePort, quiet, ranks } from './fixtures-group.js'

test.serial('three ranks share numbers, texts and gradients', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 20 })
    const { rank, worldSize, localRank, device } = group
    Object.assign(told, { rank, worldSize, localRank, device, isDefault: getProcessGroup() === group })
    const own = Tensor.from(Float32Array.of(rank, 10 * rank))
    told.sum = [...await group.allReduce(own).toArray()]
    told.mean = [...await group.allReduce(own, 'mean').toArray()]
    told.kept = [...await own.toArray()]
    group.broadcast(own, 2)
    told.broadcast = [...await own.toArray()]
    // L = sum over ranks of (rank + 1) * sum(gathered * 1 ... 6)
    const x = Tensor.from(Float64Array.of(rank, -rank), [1, 2], { requiresGrad: true })
    const gathered = group.allGather(x)
    told.shape = gathered.shape
    told.gathered = [...await gathered.toArray()]
    const weights = Tensor.from(Float64Array.of(1, 2, 3, 4, 5, 6), [3, 2])
    gathered.mul(weights).sum().mul(rank + 1).backward()
    told.gradient = [...await x.grad.toArray()]
    told.texts = await group.gatherText('rank ' + rank + ': \\u00e9')
    told.second = await failure(() => initProcessGroup())
    await group.barrier()
    await group.leave()
    await destroyProcessGroup()
    told.after = await failure(() => group.gatherText(''))
    told.none = await failure(async () => getProcessGroup())`
  const all = quiet(t, await ranks<Record<string, unknown>>(program, 3))
  for (const [rank, told] of all.entries()) {
    const { second, after, none, ...numbers } = told as Record<string, Failure>
    t.deepEqual(numbers as unknown, {
      rank,
      worldSize: 3,
      localRank: rank,
      device: 'cpu',
      isDefault: true,
      sum: [3, 30],
      mean: [1, 10],
      kept: [rank, 10 * rank],
      broadcast: [2, 20],
      shape: [3, 2],
      gathered: [0, 0, 1, -1, 2, -2],
      // The ranks' factors add up to 6.
      gradient: [6 * (2 * rank + 1), 6 * (2 * rank + 2)],
      texts: [0, 1, 2].map((other) => `rank ${other}: \u00e9`),
    })
    t.is(second?.code, 'CONFIG')
    t.regex(second?.message ?? '', /destroyProcessGroup/)
    t.is(after?.code, 'DISPOSED')
    t.is(none?.code, 'CONFIG')
  }
})

test.serial('a group of one works alone', async (t) => {
  const program = `
    const { port } = JSON.parse(out)
    for (const name of Object.keys(process.env)) {
      if (/^(RANK|WORLD_SIZE|LOCAL_|MASTER_|OMP_)/.test(name)) delete process.env[name]
    }
    told.none = await failure(() => initProcessGroup())
    const group = await initProcessGroup({ rank: 0, worldSize: 1, masterPort: port })
    told.threads = Number(process.env.OMP_NUM_THREADS)
    told.sum = await group.allReduce(Tensor.from(Float32Array.of(4))).item()
    await group.barrier()
    await group.leave()
    const again = await initProcessGroup({ rank: 0, worldSize: 1, masterPort: port })
    told.texts = await again.gatherText('alone')
    await again[Symbol.asyncDispose]()`
  const out = JSON.stringify({ port: await freePort() })
  const [told] = quiet(
    t,
    await ranks<{ none: Failure; threads: number; sum: number; texts: string[] }>(program, 1, {
      out,
    }),
  )
  t.is(told?.none.code, 'CONFIG')
  t.regex(told?.none.message ?? '', /nnclr launch -n 2 SCRIPT.*torchrun --no-python/s)
  t.is(told?.threads, availableParallelism(), 'all cores for the only rank')
  t.is(told?.sum, 4)
  t.deepEqual(told?.texts, ['alone'])
})

test('options out of range are CONFIG errors that name them, all at once', async (t) => {
  const fails = async (options: InitProcessGroupOptions, subject: string): Promise<void> => {
    const error = await t.throwsAsync(initProcessGroup(options), { instanceOf: NnclrError })
    t.is(error.code, 'CONFIG')
    t.is(error.subject, subject)
  }
  await fails({ timeoutSeconds: 0, joinTimeoutSeconds: -1 }, 'timeoutSeconds, joinTimeoutSeconds')
  await fails({ timeoutSeconds: Number.NaN }, 'timeoutSeconds')
  await fails({ device: 'tpu' }, 'device')
  await fails({ backend: 'nccl', device: 'cpu' }, 'backend')
  await fails({ backend: 'gloo', device: 'cuda:1' }, 'backend')
  await fails({ rank: 2, worldSize: 2, masterPort: 2000 }, 'rank')
  await fails({ rank: 0, worldSize: 2, masterPort: 70_000 }, 'masterPort')
  await fails({ rank: 0 }, 'worldSize, masterPort')
  t.throws(() => getProcessGroup(), { instanceOf: NnclrError, message: /initProcessGroup/ })
  await t.notThrowsAsync(destroyProcessGroup())
})
