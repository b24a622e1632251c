/** The results as tables for people. */

import type { CaseResult, MeasureResult } from './campaign.js'
import type { MachineReport } from './machine.js'
import type { Metric } from './measure.js'
import { figure, type Spread } from './statistics.js'

/** A whole run of the benchmark: what is written as JSON. */
export interface BenchReport {
  /** Of its end. */
  readonly date: string
  /** How long it took. */
  readonly minutes: number
  readonly command: string
  readonly size: string
  readonly repeats: number
  readonly threads: number
  readonly machine: MachineReport
  /** Of nnclr, its libtorch and the reference's packages. */
  readonly versions: Readonly<Record<string, string>>
  readonly pictures: Readonly<Record<string, string>>
  readonly notes: readonly string[]
  readonly measures: readonly MeasureResult[]
}

/** The report in Markdown. */
export function markdown(report: BenchReport): string {
  const { machine, versions, pictures, notes, measures } = report
  const parts = [
    `# Benchmark of ${report.date}`,
    [
      `\`${report.command}\`, ${report.repeats} runs of each side, ${report.threads} threads, commit ${machine.commit}, ${figure(report.minutes)} minutes.`,
      `${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.flags.join(' ') || 'flags unknown'}; ${machine.system}.`,
      `Node ${machine.node}, ${Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', ')}.`,
      `Small pictures: ${pictures['small']}; photographs: ${pictures['photographs']}.`,
    ].join('\n'),
    ...(report.size === 'quick' ? ['**A quick run: its numbers say nothing.**'] : []),
    ...comparisonTable(measures, report.size === 'quick'),
    ...growthTables(measures),
    ...(notes.length === 0 ? [] : [notes.map((note) => `- ${note}`).join('\n')]),
    ...failures(measures),
  ]
  return `${parts.join('\n\n')}\n`
}

/** A quick run reaches nothing: its last column stays empty. */
function comparisonTable(measures: readonly MeasureResult[], isQuick: boolean): string[] {
  const rows = measures.filter(({ family }) => family === null).flatMap(({ cases }) => cases)
  if (rows.length === 0) return []
  const head = ['Measure', 'nnclr', 'Against', 'Times better', 'Wanted', 'Reached']
  const caption =
    'Values are medians (least to most); so are the ratios, over pairs of neighbouring runs.'
  const lines = rows.flatMap(rowsOf)
  return [caption, table(head, isQuick ? lines.map((cells) => [...cells.slice(0, -1), '']) : lines)]
}

function rowsOf(of: CaseResult): string[][] {
  const { title, metric, sides, comparisons, atMost } = of
  const ours = sides['ours']
  if (ours === undefined) return []
  const value = withUnit(ours, metric)
  const rows = comparisons.map(({ against, ratio, wanted }) => {
    const theirs = sides[against]
    return [
      title,
      value,
      theirs === undefined ? against : `${against}: ${withUnit(theirs, metric)}`,
      spreadText(ratio),
      wanted === null ? '' : `≥ ${wanted}`,
      wanted === null ? '' : yes(ratio.median >= wanted),
    ]
  })
  if (atMost !== null) {
    const wanted = `< ${atMost} ${metric.unit}`
    rows.push([title, value, '', '', wanted, yes(ours.median < atMost)])
  }
  return rows
}

/** A table for each measure of growth: a row a case. */
function growthTables(measures: readonly MeasureResult[]): string[] {
  return measures.flatMap(({ name, family, cases }) => {
    const [first] = cases
    if (family === null || first === undefined) return []
    const metrics = [first.metric, ...first.also.map(({ metric }) => metric)]
    const head = ['', ...metrics.map(({ label, unit }) => `${label}, ${unit}`)]
    const rows = cases.map(({ title, sides, also }) => {
      const values = [sides['ours'], ...also.map(({ value }) => value)]
      return [title, ...values.map((value) => (value === undefined ? '' : spreadText(value)))]
    })
    return [`## ${name}`, table(head, rows)]
  })
}

function failures(measures: readonly MeasureResult[]): string[] {
  return measures.flatMap(({ name, failure }) =>
    failure === null ? [] : [`**${name} was not measured**: ${failure}`],
  )
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

const yes = (is: boolean): string => (is ? 'yes' : 'no')

function withUnit(spread: Spread, { unit }: Metric): string {
  return `${figure(spread.median)} ${unit} (${figure(spread.least)} to ${figure(spread.most)})`
}

function spreadText({ median, least, most }: Spread): string {
  return `${figure(median)} (${figure(least)} to ${figure(most)})`
}
