import test from 'ava'
import type { Sample } from '../ts/data/dataset.js'
import { openSamples } from '../ts/data/samples.js'
import { NnclrError } from '../ts/errors.js'

async function refused(samples: readonly unknown[]): Promise<string> {
  try {
    await openSamples(samples as Sample[])
  } catch (error) {
    if (error instanceof NnclrError && error.code === 'CONFIG') return error.message
    throw error
  }
  return 'accepted'
}

test('paths become a set in their order, without labels', async (t) => {
  const set = await openSamples(['b.png', 'a.png', { path: 'c.png' }])
  t.deepEqual(set.sources, ['b.png', 'a.png', 'c.png'])
  t.is(set.labels, null)
  t.is(set.path(1), 'a.png')
})

test('bytes are a source with a name in its place', async (t) => {
  const bytes = Uint8Array.of(1, 2, 3)
  const set = await openSamples([{ bytes }, 'a.png'])
  t.deepEqual(set.sources, [bytes, 'a.png'])
  t.is(set.path(0), '<bytes>')
})

test('label names become numbers in byte order', async (t) => {
  const set = await openSamples([
    { path: '1', label: 'dog' },
    { path: '2', label: 'cat' },
    { path: '3', label: 'dog' },
  ])
  t.deepEqual(set.classes, ['cat', 'dog'])
  t.deepEqual(set.labels, Int32Array.of(1, 0, 1))
})

test('label numbers stay', async (t) => {
  const set = await openSamples([
    { path: '1', label: 7 },
    { path: '2', label: 0 },
  ])
  t.is(set.classes, null)
  t.deepEqual(set.labels, Int32Array.of(7, 0))
})

test('what is no sample is refused by index', async (t) => {
  t.regex(await refused([]), /at least one picture/)
  t.regex(await refused(['a', 7]), /data\[1\]: got 7/)
  t.regex(await refused(['']), /data\[0\]/)
  t.regex(await refused([null]), /data\[0\]: got null/)
  t.regex(await refused([{ path: 'a', bytes: Uint8Array.of(1) }]), /data\[0\]/)
  t.regex(await refused([{ bytes: [1, 2] }]), /data\[0\]/)
  const many = (await refused(Array(1000).fill(0))).split('\n')
  t.is(many.length, 1 + 5)
})

test('labels of two kinds, of some samples only, or out of range are refused', async (t) => {
  const mixed = (...labels: unknown[]): Promise<string> =>
    refused(labels.map((label) => ({ path: 'a', label })))
  t.regex(await mixed(1, 'cat'), /data\[1\]\.label: got 'cat'/)
  t.regex(await mixed('cat', undefined), /data\[1\]\.label: got undefined/)
  t.regex(await mixed(undefined, 1), /data\[1\]\.label: got 1, expected no label/)
  t.regex(await mixed(-1), /data\[0\]\.label: got -1/)
  t.regex(await mixed(0.5), /data\[0\]\.label: got 0.5/)
  t.regex(await mixed(2 ** 31), /data\[0\]\.label/)
  t.regex(await mixed(null), /data\[0\]\.label/)
})

test('the fingerprint follows order, labels and lengths', async (t) => {
  const lists: (string | Sample)[][] = [
    ['a', 'b'],
    ['b', 'a'],
    ['ab'],
    [
      { path: 'a', label: 0 },
      { path: 'b', label: 0 },
    ],
    [
      { path: 'a', label: 0 },
      { path: 'b', label: 1 },
    ],
    [{ bytes: new Uint8Array(1) }],
    [{ bytes: new Uint8Array(2) }],
  ]
  const print = async (list: (string | Sample)[]): Promise<string> =>
    (await openSamples(list)).fingerprint
  const prints = await Promise.all(lists.map(print))
  t.is(new Set(prints).size, prints.length)
  t.is(await print(['a', 'b']), prints[0] ?? '')
})
