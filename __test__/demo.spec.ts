import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { curvesOf } from '../examples/demo/curves.js'
import { drawingsOf } from '../examples/demo/emoji.js'
import { readOptions } from '../examples/demo/options.js'
import { scoreLines } from '../examples/demo/score-lines.js'
import { crossSearch, type Found, hitRates, type Rows, slice } from '../examples/demo/search.js'
import { spread } from '../examples/demo/study.js'
import { recordedEvents } from './cli-events.js'

/** Cosine search by the definition. */
async function nearest(references: Rows, queries: Rows, k: number): Promise<Found> {
  const row = ({ features, dim }: Rows, i: number) => features.subarray(i * dim, (i + 1) * dim)
  const dot = (a: Float32Array, b: Float32Array) =>
    a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)
  const cosine = (a: Float32Array, b: Float32Array) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
  const found = Array.from({ length: queries.count }, (_, query) =>
    Array.from({ length: references.count }, (_, index) => ({
      index,
      similarity: cosine(row(queries, query), row(references, index)),
    }))
      .sort((a, b) => b.similarity - a.similarity)
      .slice(0, k),
  ).flat()
  return {
    indices: Uint32Array.from(found, ({ index }) => index),
    similarities: Float32Array.from(found, ({ similarity }) => similarity),
    k,
  }
}

test('top-1 and top-5 count how often row i finds row i', (t) => {
  const found = {
    indices: Uint32Array.of(0, 1, 0, 1, 0, 1),
    similarities: new Float32Array(6),
    k: 2,
  }
  t.deepEqual(hitRates(found), { top1: 1 / 3, top5: 2 / 3 })
})

test('both directions are averaged', async (t) => {
  const first = { features: Float32Array.of(1, 0, 0, 1), count: 2, dim: 2 }
  // Row 1 of the second set is nearer to row 0 of the first than to its own.
  const second = { features: Float32Array.of(1, 0, 1, 0.5), count: 2, dim: 2 }
  const both = await crossSearch(first, second, (a, b) => nearest(a, b, 2))
  t.is(hitRates(both.forward).top1, 1)
  t.is(hitRates(both.backward).top1, 0.5)
  t.is(both.top1, 0.75)
  t.is(both.top5, 1)
})

test('a slice is a view of some rows', (t) => {
  const rows = { features: Float32Array.of(1, 2, 3, 4, 5, 6), count: 3, dim: 2 }
  t.deepEqual([...slice(rows, 1, 2).features], [3, 4])
})

test('examples are spread, not chosen', (t) => {
  t.deepEqual(spread(3, 9), [1, 4, 7])
  t.deepEqual(spread(5, 2), [0, 1])
})

test('options', (t) => {
  t.deepEqual(readOptions([]), {
    data: null,
    seconds: 150,
    epochs: null,
    out: 'runs/demo',
    seed: 0,
    size: 32,
  })
  t.like(readOptions(['--data', 'photos', '--seconds=30', '--seed', '7']), {
    data: 'photos',
    seconds: 30,
    seed: 7,
  })
  t.is(readOptions(['-h']), 'help')
  t.deepEqual(readOptions(['--seconds', 'long']), {
    problem: "--seconds: got 'long', expected a whole number from 10 to 86400",
  })
  t.true('problem' in (readOptions(['--sedonds', '3']) as object))
})

test('a table as text is aligned', (t) => {
  const rows = [
    { name: 'untrained network', values: ['9.1 %'] },
    { name: 'trained', values: ['40.0 %'] },
  ]
  t.is(
    scoreLines({ columns: ['features', 'top-1'], rows, meaning: 'Good.' }),
    '  features             top-1\n  untrained network    9.1 %\n  trained             40.0 %\n\nGood.',
  )
})

test('curves over epochs, from the events of a run', (t) => {
  const [loss, neighbours, ...others] = curvesOf(recordedEvents())
  t.deepEqual(loss?.series[0]?.points, [
    [0.5, 4],
    [1, 3],
    [1.5, 2.75],
    [2, 2.25],
  ])
  t.is(neighbours?.series[0]?.points[0]?.[1], 0.83)
  t.deepEqual(others, [], 'one score is no curve')
})

/** A tar archive of these files, as npm packs them. */
function packed(files: Readonly<Record<string, string>>): Buffer {
  const blocks = Object.entries(files).flatMap(([name, text]) => {
    const header = Buffer.alloc(512)
    header.write(`package/${name}`, 0)
    header.write(`${text.length.toString(8).padStart(11, '0')}\0`, 124)
    header.write('0', 156)
    const body = Buffer.alloc(Math.ceil(text.length / 512) * 512)
    body.write(text)
    return [header, body]
  })
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]))
}

const entry = (image: string, has_img_twitter: boolean) => ({
  image,
  has_img_google: true,
  has_img_twitter,
})
const META = JSON.stringify([entry('a.png', true), entry('b.png', false), entry('c.png', true)])
const sha512 = (bytes: Buffer) => createHash('sha512').update(bytes).digest('base64')

test('of a package, the drawings that both vendors have are taken', (t) => {
  const archive = packed({
    'emoji.json': META,
    'img/x/64/a.png': 'A',
    'img/x/64/b.png': 'B',
    'img/x/64/c.png': 'C',
  })
  const files = drawingsOf(archive, { spec: 'x@1', sha512: sha512(archive) })
  t.deepEqual([...files.keys()].sort(), ['a.png', 'c.png', 'emoji.json'])
  t.is(Buffer.from(files.get('c.png') ?? []).toString(), 'C')
})

test('a package that is not the pinned one, or not whole, is refused', (t) => {
  const archive = packed({ 'emoji.json': META, 'img/x/64/a.png': 'A' })
  t.throws(() => drawingsOf(archive, { spec: 'x@1', sha512: 'other' }), {
    message: /x@1: the checksum is/,
  })
  t.throws(() => drawingsOf(archive, { spec: 'x@1', sha512: sha512(archive) }), {
    message: 'x@1: 1 drawings are missing, first c.png',
  })
  const empty = packed({ 'README.md': '' })
  t.throws(() => drawingsOf(empty, { spec: 'x@1', sha512: sha512(empty) }), {
    message: /no emoji.json/,
  })
})
