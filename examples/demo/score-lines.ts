/** A score table as plain text. */

import { wrap } from '../../ts/cli/help.js'
import type { ScoreTable } from '../../ts/report/report.js'

/** Aligned columns, and the sentence that says what they mean. */
export function scoreLines({ columns, rows, meaning }: ScoreTable): string {
  const lines = [columns, ...rows.map(({ name, values }) => [name, ...values])]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  const table = lines.map((line) =>
    line
      .map((word, i) => (i === 0 ? word.padEnd(widths[i] ?? 0) : word.padStart(widths[i] ?? 0)))
      .join('   '),
  )
  return `${table.map((line) => `  ${line}\n`).join('')}\n${wrap(meaning, '')}`
}
