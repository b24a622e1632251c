import { inflateSync } from 'node:zlib'
import test from 'ava'
import { lineChart } from '../ts/report/chart.js'
import { html } from '../ts/report/html.js'
import { encodePng, type Pixels, pngDataUri } from '../ts/report/png.js'
import { type Report, renderReport } from '../ts/report/report.js'
import { axisOver } from '../ts/report/scale.js'

const PICTURE: Pixels = {
  width: 2,
  height: 1,
  data: Uint8Array.of(255, 0, 0, 0, 0, 255),
}

const REPORT: Report = {
  title: 'Cats & <dogs>',
  lead: 'A run.',
  scores: {
    columns: ['features', 'top-1'],
    rows: [
      { name: 'untrained', values: ['20 %'] },
      { name: 'trained', values: ['40 %'], best: true },
    ],
    meaning: 'Twice as many.',
  },
  charts: [
    {
      title: 'Loss',
      xLabel: 'epoch',
      yLabel: 'loss',
      series: [
        {
          name: 'loss',
          points: [
            [0, 4],
            [1, 3],
          ],
        },
      ],
    },
  ],
  views: [{ original: PICTURE, views: [PICTURE, PICTURE] }],
  rows: [
    {
      query: PICTURE,
      name: 'cat',
      neighbours: [
        { picture: PICTURE, name: 'cat', similarity: 0.91, hit: true },
        { picture: PICTURE, name: '"dog"', similarity: 0.88, hit: false },
      ],
    },
  ],
  rowsNote: 'A tick marks the same.',
  facts: { network: 'resnet10' },
  settings: { epochs: 2 },
}

test('a PNG holds the pixels, row by row', (t) => {
  const png = encodePng(PICTURE)
  t.is(png.toString('latin1', 1, 4), 'PNG')
  t.is(png.readUInt32BE(16), 2)
  t.is(png.readUInt32BE(20), 1)
  const start = png.indexOf('IDAT') + 4
  const rows = inflateSync(png.subarray(start, start + png.readUInt32BE(start - 8)))
  t.deepEqual([...rows], [0, ...PICTURE.data])
  t.is(png.toString('latin1', png.length - 8, png.length - 4), 'IEND')
  // The checksum of an empty IEND is the same in every PNG there is.
  t.is(png.readUInt32BE(png.length - 4), 0xae426082)
})

test('pixels that do not fill the picture are refused', (t) => {
  t.throws(() => encodePng({ ...PICTURE, height: 2 }), { instanceOf: RangeError })
})

test('values cannot break out of markup', (t) => {
  t.is(
    html`<p title="${'"&\''}">${'<b>'}${null}${[1, html`<i>`]}</p>`.text,
    '<p title="&quot;&amp;&#39;">&lt;b&gt;1<i></p>',
  )
})

test('ticks are round numbers around the data', (t) => {
  t.deepEqual(axisOver([0.13, 4.9]).ticks, [0, 1, 2, 3, 4, 5])
  t.like(axisOver([3.1, 3.14]), { min: 3.1, max: 3.14, decimals: 2 })
  t.true(axisOver([5, 5]).max > 5)
  t.deepEqual(axisOver([]).ticks.length > 1, true)
  t.like(axisOver([1, 2], 5, [0, 1]), { min: 0, max: 1 })
})

test('a chart leaves out what is no number and says so when nothing is left', (t) => {
  const chart = { title: 'Loss', xLabel: 'epoch', yLabel: 'loss' }
  const points = [
    [0, 1],
    [1, Number.NaN],
    [2, 3],
  ] as const
  const drawn = lineChart({ ...chart, series: [{ name: 'a', points }] }).text
  t.false(drawn.includes('NaN'))
  t.regex(drawn, /aria-label="Loss: a goes from 1.00 to 3.00"/)
  const empty = lineChart({ ...chart, series: [{ name: 'a', points: [[0, Number.NaN]] }] }).text
  t.regex(empty, /no values were recorded/)
  t.regex(lineChart({ ...chart, series: [{ name: 'a', points: [[1, 2]] }] }).text, /<circle/)
})

test('lines are told apart by class and named in a legend when there are several', (t) => {
  const series = ['one', 'two'].map((name, i) => ({
    name,
    points: [
      [0, i],
      [1, i],
    ] as const,
  }))
  const drawn = lineChart({ title: 'x', xLabel: 'x', yLabel: 'y', series }).text
  t.regex(drawn, /class="legend".*line-0.*one.*line-1.*two/s)
})

test('the page holds everything and fetches nothing', (t) => {
  const page = renderReport(REPORT)
  for (const part of [
    'Cats &amp; &lt;dogs&gt;',
    'Twice as many.',
    'aria-label="Loss',
    'A tick marks',
    'resnet10',
    '"epochs": 2'.replaceAll('"', '&quot;'),
  ]) {
    t.true(page.includes(part), part)
  }
  t.false(/<script|https?:|@import|url\(/.test(page))
  t.true(page.includes(`src="${pngDataUri(PICTURE)}"`))
  t.is(page, renderReport(REPORT), 'the same run gives the same page')
})

test('a hit has a tick and a frame, a miss has neither', (t) => {
  const page = renderReport(REPORT)
  t.regex(page, /class="neighbour hit" title="cat \(hit\)">.*✓ 0\.91/)
  t.regex(page, /class="neighbour" title="&quot;dog&quot; \(miss\)">[^✓]*>0\.88/)
})

test('sections without content are left out', (t) => {
  const page = renderReport({ ...REPORT, scores: null, charts: [], views: [], rows: [] })
  for (const heading of ['How training went', 'What the network saw', 'What it takes for alike']) {
    t.false(page.includes(heading), heading)
  }
})
