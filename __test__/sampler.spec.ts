import test from 'ava'
import fc from 'fast-check'
import { batches, epochOrder, pick, splitHoldout, stepsPerEpoch, subsetOf } from '../ts/sampler.js'

const count = fc.integer({ min: 0, max: 500 })
const seed = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const epoch = fc.integer({ min: 0, max: 1_000_000 })

function naturals(length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, i) => i)
}

test('an order holds each number once', (t) => {
  fc.assert(
    fc.property(count, seed, epoch, (n, s, e) => {
      const order = epochOrder(n, { seed: s, epoch: e, shuffle: true })
      t.deepEqual(order.slice().sort(), naturals(n))
    }),
  )
})

test('an order is a function of seed and epoch', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 50, max: 200 }), seed, epoch, (n, s, e) => {
      const order = epochOrder(n, { seed: s, epoch: e, shuffle: true })
      t.deepEqual(epochOrder(n, { seed: s, epoch: e, shuffle: true }), order)
      t.notDeepEqual(epochOrder(n, { seed: s, epoch: e + 1, shuffle: true }), order)
      const other = s === 0 ? 1 : s - 1
      t.notDeepEqual(epochOrder(n, { seed: other, epoch: e, shuffle: true }), order)
    }),
  )
})

test('an order stays what it was in earlier releases', (t) => {
  // Changing these numbers breaks the resume of every run.
  const first = epochOrder(10, { seed: 0, epoch: 1, shuffle: true })
  t.deepEqual([...first], [7, 0, 4, 8, 9, 6, 5, 1, 2, 3])
  const large = epochOrder(10, { seed: 2 ** 40 + 3, epoch: 7, shuffle: true })
  t.deepEqual([...large], [0, 9, 3, 1, 6, 5, 4, 2, 7, 8])
})

test('without shuffle the order is the natural one', (t) => {
  t.deepEqual(epochOrder(5, { seed: 1, epoch: 1, shuffle: false }), naturals(5))
})

test('every permutation of four comes equally often', (t) => {
  const times = new Map<string, number>()
  const draws = 24_000
  for (let e = 0; e < draws; e++) {
    const key = epochOrder(4, { seed: 7, epoch: e, shuffle: true }).join()
    times.set(key, (times.get(key) ?? 0) + 1)
  }
  t.is(times.size, 24)
  // Chi squared with 23 degrees of freedom: 49.7 is passed by chance once in a thousand.
  const expected = draws / 24
  const chi = [...times.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
  t.true(chi < 49.7, `chi squared ${chi}`)
})

test('batches cut the order; their size does not change it', (t) => {
  fc.assert(
    fc.property(count, fc.integer({ min: 1, max: 64 }), fc.boolean(), (n, size, dropLast) => {
      const order = epochOrder(n, { seed: 1, epoch: 1, shuffle: true })
      const cut = [...batches(order, size, dropLast)]
      t.is(cut.length, stepsPerEpoch(n, size, dropLast))
      const joined = cut.flatMap((batch) => [...batch])
      t.deepEqual(joined, [...order.slice(0, joined.length)])
      t.is(joined.length, dropLast ? n - (n % size) : n)
    }),
  )
})

test('batches go on from the given one', (t) => {
  const all = [...batches(naturals(10), 3, false)]
  t.deepEqual([...batches(naturals(10), 3, false, 2)], all.slice(2))
  t.deepEqual([...batches(naturals(10), 3, true, 3)], [])
})

test('a batch is a copy', (t) => {
  const order = naturals(4)
  const [first] = batches(order, 2, true)
  order[0] = 9
  t.is(first?.[0], 0)
})

test('a subset is a share in rising order, and smaller ones lie within larger ones', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), seed, (n, s) => {
      const indices = naturals(n).map((i) => 2 * i)
      const small = subsetOf(indices, 0.1, s)
      const large = subsetOf(indices, 0.5, s)
      t.is(large.length, Math.max(1, Math.round(n / 2)))
      t.deepEqual(large, large.slice().sort())
      t.true(large.every((i) => i % 2 === 0))
      t.true(small.every((i) => large.includes(i)))
    }),
  )
  t.deepEqual(subsetOf(naturals(5), 1, 0), naturals(5))
})

test('a hold-out and the rest are the whole', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 300 }), seed, (n, s) => {
      const { train, holdout } = splitHoldout(n, 0.2, s)
      t.true(train.length > 0 && holdout.length > 0)
      t.deepEqual(Uint32Array.from([...train, ...holdout]).sort(), naturals(n))
      t.deepEqual(holdout, holdout.slice().sort())
    }),
  )
  t.deepEqual(splitHoldout(1, 0.5, 0), { train: naturals(1), holdout: naturals(0) })
  t.deepEqual(splitHoldout(0, 0.5, 0), { train: naturals(0), holdout: naturals(0) })
})

test('pick looks positions up', (t) => {
  t.deepEqual(pick(Uint32Array.of(5, 6, 7), Uint32Array.of(2, 0)), Uint32Array.of(7, 5))
})

test('a million is ordered without a pause that is felt', (t) => {
  epochOrder(100_000, { seed: 0, epoch: 0, shuffle: true })
  const started = performance.now()
  epochOrder(1_000_000, { seed: 0, epoch: 1, shuffle: true })
  const took = performance.now() - started
  t.log(`${took.toFixed(0)} ms`)
  // 100 ms on an idle machine; the limit leaves room for a busy one.
  t.true(took < 500, `${took} ms`)
})
