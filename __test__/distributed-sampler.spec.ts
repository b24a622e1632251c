import test from 'ava'
import fc from 'fast-check'
import { DataLoader, DistributedSampler, NnclrError, SimCLRTransform } from '../ts/index.js'
import { epochOrder } from '../ts/sampler.js'
import { samples } from './fixtures-pictures.js'

/** What each rank sees. */
function shares(
  length: number,
  numReplicas: number,
  options: { shuffle?: boolean; dropLast?: boolean; seed?: number } = {},
  epoch: number = 0,
): number[][] {
  return Array.from({ length: numReplicas }, (_, rank) => {
    const sampler = new DistributedSampler(length, { numReplicas, rank, ...options })
    sampler.setEpoch(epoch)
    return [...sampler]
  })
}

test('the shares are those that torch 2.13 gives', (t) => {
  const plain = (length: number, ranks: number, dropLast: boolean): number[][] =>
    shares(length, ranks, { shuffle: false, dropLast })
  const three = [
    [0, 3, 6],
    [1, 4, 7],
    [2, 5, 8],
  ]
  t.deepEqual(plain(9, 3, false), three)
  t.deepEqual(plain(9, 3, true), three)
  t.deepEqual(plain(10, 3, true), three)
  t.deepEqual(plain(10, 3, false), [
    [0, 3, 6, 9],
    [1, 4, 7, 0],
    [2, 5, 8, 1],
  ])
  t.deepEqual(plain(7, 2, false), [
    [0, 2, 4, 6],
    [1, 3, 5, 0],
  ])
  t.deepEqual(plain(2, 5, false), [[0], [1], [0], [1], [0]])
  t.deepEqual(plain(2, 5, true), [[], [], [], [], []])
  t.deepEqual(plain(1, 4, false), [[0], [0], [0], [0]])
})

test('the ranks together see the order of the epoch, each equally many', (t) => {
  const count = fc.integer({ min: 1, max: 200 })
  const ranks = fc.integer({ min: 1, max: 9 })
  fc.assert(
    fc.property(count, ranks, fc.nat(1000), fc.nat(50), fc.boolean(), (n, w, seed, e, dropLast) => {
      const all = shares(n, w, { seed, dropLast }, e)
      const each = dropLast ? Math.floor(n / w) : Math.ceil(n / w)
      t.true(all.every(({ length }) => length === each))
      const order = epochOrder(n, { seed, epoch: e, shuffle: true })
      const inTurn = Array.from(
        { length: each * w },
        (_, place) => all[place % w]?.[Math.floor(place / w)],
      )
      t.deepEqual(
        inTurn,
        Array.from({ length: each * w }, (_, place) => order[place % n]),
      )
    }),
  )
})

test('epochs and seeds have orders of their own', (t) => {
  const first = shares(40, 2, { seed: 1 }, 0)
  t.deepEqual(shares(40, 2, { seed: 1 }, 0), first)
  t.notDeepEqual(shares(40, 2, { seed: 1 }, 1), first)
  t.notDeepEqual(shares(40, 2, { seed: 2 }, 0), first)
})

test('what is out of range, or missing without a process group, is a CONFIG error', (t) => {
  const fails = (
    options: { numReplicas?: number; rank?: number; seed?: number },
    field: string,
  ) => {
    const error = t.throws(() => new DistributedSampler(4, options), { instanceOf: NnclrError })
    t.is(error.code, 'CONFIG')
    t.is(error.subject, field)
  }
  fails({ numReplicas: 2, rank: 2 }, 'rank')
  fails({ numReplicas: 2, rank: -1 }, 'rank')
  fails({ numReplicas: 0, rank: 0 }, 'numReplicas')
  fails({ numReplicas: 2, rank: 0, seed: 0.5 }, 'seed')
  fails({ rank: 0 }, 'process group')
  const sampler = new DistributedSampler(4, { numReplicas: 2, rank: 0 })
  t.throws(() => sampler.setEpoch(-1), { instanceOf: NnclrError, message: /epoch: got -1/ })
})

test('loaders with a sampler make the same number of steps on every rank, and see all', async (t) => {
  const data = samples(11)
  const transform = new SimCLRTransform({ inputSize: 16 })
  const seen: number[][] = []
  for (const rank of [0, 1, 2]) {
    const sampler = new DistributedSampler(data.length, { numReplicas: 3, rank, seed: 5 })
    const loader = new DataLoader(data, { transform, sampler, batchSize: 2, numWorkers: 1 })
    t.is(await loader.steps(), 2)
    const epochs: number[][] = []
    for (let epoch = 0; epoch < 2; epoch++) {
      const places: number[] = []
      for await (const { indices } of loader) places.push(...indices)
      t.is(places.length, 4)
      epochs.push(places)
    }
    // Without setEpoch the loader counts: the second epoch is that of setEpoch(1).
    sampler.setEpoch(1)
    t.deepEqual([...sampler], epochs[1])
    t.notDeepEqual(epochs[0], epochs[1])
    seen.push(epochs[0] ?? [])
    await loader.dispose()
  }
  t.deepEqual(new Set(seen.flat()).size, 11)
})

test('setEpoch decides the crops too', async (t) => {
  const data = samples(4)
  const transform = new SimCLRTransform({ inputSize: 16 })
  const sums = async (epoch: number | null, skip: number): Promise<number[]> => {
    const sampler = new DistributedSampler(data.length, { numReplicas: 2, rank: 1, shuffle: false })
    const loader = new DataLoader(data, { transform, sampler, batchSize: 2, numWorkers: 1 })
    loader.epoch = skip
    if (epoch !== null) sampler.setEpoch(epoch)
    const found: number[] = []
    for await (const { views } of loader) found.push(await views[0].sum().item())
    await loader.dispose()
    return found
  }
  t.deepEqual(await sums(3, 0), await sums(null, 3))
  t.notDeepEqual(await sums(3, 0), await sums(2, 0))
})

test('a loader refuses shuffle beside a sampler, and a sampler of another set', async (t) => {
  const sampler = new DistributedSampler(9, { numReplicas: 3, rank: 0 })
  const both = t.throws(() => new DataLoader(samples(9), { sampler, shuffle: true }), {
    instanceOf: NnclrError,
  })
  t.is(both.code, 'CONFIG')
  t.is(both.subject, 'shuffle')
  const other = new DataLoader(samples(8), { sampler })
  const error = await t.throwsAsync(other.steps(), { instanceOf: NnclrError })
  t.is(error.code, 'CONFIG')
  t.regex(error.message, /one of 9 pictures.*8 pictures/)
})
