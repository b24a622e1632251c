import test from 'ava'
import { NeighbourWarmup } from '../ts/train/neighbour-warmup.js'

const BANK = { size: 64, warmup: 'fill' } as const

/** Positives of each step when the agreement is as given and the bank full from a step on. */
function positives(
  warmup: NeighbourWarmup,
  agreement: number[],
  from: number = 0,
  fillsAt: number = 0,
): string[] {
  return agreement.map((neighbourAgreement, k) => {
    const positive = warmup.positive(from + k)
    warmup.observe({ neighbourAgreement, bankFilled: from + k >= fillsAt ? BANK.size : 0 })
    return positive
  })
}

const counts = (sources: string[]): Record<string, number> =>
  Object.fromEntries(
    [...new Set(sources)].map((name) => [name, sources.filter((s) => s === name).length]),
  )

test('a share of the steps is waited for', (t) => {
  const of = (neighbourWarmup: number) =>
    new NeighbourWarmup({ neighbours: 'bank', neighbourWarmup, memoryBank: BANK }, 10)
  t.deepEqual(counts(positives(of(0.25), Array(10).fill(1))), { view: 3, bank: 7 })
  t.deepEqual(counts(positives(of(0), Array(10).fill(0))), { bank: 10 })
  t.deepEqual(counts(positives(of(1), Array(10).fill(1))), { view: 10 })
})

test('auto waits until neighbours agree, and half of the steps at most', (t) => {
  const auto = { neighbours: 'bank', neighbourWarmup: 'auto', memoryBank: BANK } as const
  t.deepEqual(counts(positives(new NeighbourWarmup(auto, 100), Array(100).fill(0))), {
    view: 50,
    bank: 50,
  })
  const soon = positives(new NeighbourWarmup(auto, 1000), Array(1000).fill(0.9))
  const first = soon.indexOf('bank')
  t.true(first > 5 && first < 50, `from step ${first}`)
  t.false(soon.slice(first).includes('view'), 'and for good')
  const steady = (agreement: number) =>
    positives(new NeighbourWarmup(auto, 1000), Array(499).fill(agreement)).includes('bank')
  t.deepEqual([0.14, 0.16].map(steady), [false, true])
  // One batch in which all agree is noise.
  const noisy = positives(new NeighbourWarmup(auto, 1000), [1, ...Array(99).fill(0)])
  t.deepEqual(counts(noisy), { view: 100 })
})

test('agreement does not count before the bank is full', (t) => {
  const auto = { neighbours: 'bank', neighbourWarmup: 'auto', memoryBank: BANK } as const
  const sources = positives(new NeighbourWarmup(auto, 1000), Array(200).fill(1), 0, 100)
  t.true(sources.indexOf('bank') > 100)
})

test('once in use, neighbours stay, whatever the agreement', (t) => {
  const auto = { neighbours: 'bank', neighbourWarmup: 'auto', memoryBank: BANK } as const
  const warmup = new NeighbourWarmup(auto, 1000)
  positives(warmup, Array(60).fill(1))
  t.deepEqual(counts(positives(warmup, Array(200).fill(0), 60)), { bank: 200 })
})

test('its state goes on where it stopped', (t) => {
  const auto = { neighbours: 'bank', neighbourWarmup: 'auto', memoryBank: BANK } as const
  const agreement = Array.from({ length: 400 }, (_, k) => Math.min(1, k / 300))
  const whole = positives(new NeighbourWarmup(auto, 2000), agreement)
  const before = new NeighbourWarmup(auto, 2000)
  const start = positives(before, agreement.slice(0, 60))
  const state = JSON.parse(JSON.stringify(before.state))
  const rest = positives(new NeighbourWarmup(auto, 2000, state), agreement.slice(60), 60)
  t.deepEqual([...start, ...rest], whole)
  t.true(whole.includes('bank') && !start.includes('bank'))
})

test('the controls keep their sources', (t) => {
  const none = new NeighbourWarmup({ neighbours: 'none', neighbourWarmup: 0, memoryBank: BANK }, 4)
  t.deepEqual(counts(positives(none, [1, 1, 1, 1])), { view: 4 })
  const random = new NeighbourWarmup(
    { neighbours: 'random', neighbourWarmup: 0.5, memoryBank: BANK },
    4,
  )
  t.deepEqual(positives(random, [1, 1, 1, 1]), ['view', 'view', 'random', 'random'])
})
