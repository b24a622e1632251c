/**
 * A training run as one page to look at: what was asked, what came out, the curves, some of what the
 * network saw, and what it takes for alike. The page is self-contained: no script, nothing fetched.
 * It is a pure function of what it is given, so the same run gives the same page.
 */

import { type LineChart, lineChart } from './chart.js'
import { type Content, html, type Markup, trusted } from './html.js'
import { type Pixels, pngDataUri } from './png.js'
import { STYLE } from './style.js'

/** A picture and the two views that training made of it. */
export interface ViewPair {
  readonly original: Pixels
  readonly views: readonly [Pixels, Pixels]
}

/** One picture that was found for a query. */
export interface Neighbour {
  readonly picture: Pixels
  readonly name: string
  /** Cosine similarity to the query, -1 to 1. */
  readonly similarity: number
  /** Whether it is what was looked for; null when nobody knows. */
  readonly hit: boolean | null
}

/** A query and what was found for it, nearest first. */
export interface NeighbourRow {
  readonly query: Pixels
  readonly name: string
  /** A second, quieter line under the name. */
  readonly detail?: string
  readonly neighbours: readonly Neighbour[]
}

/** Numbers with their names: the answer in short. */
export interface ScoreTable {
  readonly columns: readonly string[]
  readonly rows: readonly {
    readonly name: string
    readonly values: readonly string[]
    readonly best?: boolean
  }[]
  /** What the numbers mean. */
  readonly meaning: string
}

/** Everything on the page. Sections without content are left out. */
export interface Report {
  readonly title: string
  /** What was done, one or two sentences. */
  readonly lead: string
  readonly scores: ScoreTable | null
  readonly charts: readonly LineChart[]
  readonly views: readonly ViewPair[]
  readonly rows: readonly NeighbourRow[]
  /** How to read the rows. */
  readonly rowsNote: string
  /** Short facts, in the order they are shown. */
  readonly facts: Readonly<Record<string, string>>
  /** The complete configuration. */
  readonly settings: unknown
}

/** The page as HTML. */
export function renderReport(report: Report): string {
  const { title, lead, scores, charts, views, rows, rowsNote, facts, settings } = report
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body><main>
<h1>${title}</h1>
<p class="lead">${lead}</p>
${scores === null ? null : scoreTable(scores)}
${section('How training went', charts.length === 0 ? null : html`<div class="charts">${charts.map(lineChart)}</div>`)}
${section('What the network saw', views.length === 0 ? null : viewGallery(views))}
${section('What it takes for alike', rows.length === 0 ? null : neighbourRows(rows, rowsNote))}
${section('Settings and versions', settingsList(facts, settings))}
</main></body>
</html>
`.text
}

function section(heading: string, content: Content): Markup | null {
  return content === null ? null : html`<section><h2>${heading}</h2>${content}</section>`
}

function scoreTable({ columns, rows, meaning }: ScoreTable): Markup {
  const body = rows.map(
    ({ name, values, best }) =>
      html`<tr${best === true ? trusted(' class="best"') : null}><th scope="row">${name}</th>${values.map((value) => html`<td>${value}</td>`)}</tr>`,
  )
  return html`<table>
<thead><tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
<tbody>${body}</tbody>
</table>
<p>${meaning}</p>`
}

function viewGallery(views: readonly ViewPair[]): Markup {
  const pairs = views.map(
    ({ original, views: [first, second] }) => html`<figure>
${image(original, 'picture')}${image(first, 'first view')}${image(second, 'second view')}
<span class="caption">picture</span><span class="caption">view 1</span><span class="caption">view 2</span>
</figure>`,
  )
  return html`<p>Each step makes two random views of every picture. The network learns to give a view
the same code as the nearest neighbour of the other view among the codes of earlier pictures.</p>
<div class="views">${pairs}</div>`
}

function neighbourRows(rows: readonly NeighbourRow[], note: string): Markup {
  const columns = Math.max(...rows.map(({ neighbours }) => neighbours.length))
  const ranks = Array.from({ length: columns }, (_, i) => html`<th scope="col">${i + 1}</th>`)
  return html`<p>${note}</p><div class="rows"><table>
<thead><tr><th scope="col">query</th>${ranks}</tr></thead>
<tbody>${rows.map(neighbourRow)}</tbody>
</table></div>`
}

function neighbourRow({ query, name, detail, neighbours }: NeighbourRow): Markup {
  return html`<tr><td><div class="query">${image(query, name)}<span>${name}${
    detail === undefined ? null : html`<br><small>${detail}</small>`
  }</span></div></td>${neighbours.map((neighbour) => html`<td>${neighbourCell(neighbour)}</td>`)}</tr>`
}

/** A hit has a frame and a tick mark besides its colour. */
function neighbourCell({ picture, name, similarity, hit }: Neighbour): Markup {
  const text = `${hit === true ? '✓ ' : ''}${similarity.toFixed(2)}`
  const title = hit === null ? name : `${name} (${hit ? 'hit' : 'miss'})`
  return html`<span class="${hit === true ? 'neighbour hit' : 'neighbour'}" title="${title}">${image(picture, title)}${text}</span>`
}

function image(picture: Pixels, alt: string): Markup {
  return html`<img src="${pngDataUri(picture)}" width="${picture.width}" height="${picture.height}" alt="${alt}">`
}

function settingsList(facts: Readonly<Record<string, string>>, settings: unknown): Markup {
  const rows = Object.entries(facts).map(
    ([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>`,
  )
  return html`<table><tbody>${rows}</tbody></table>
<details><summary>Complete configuration</summary><pre>${JSON.stringify(settings, null, 2)}</pre></details>`
}
