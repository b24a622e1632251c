/**
 * `npm run demo`: trains NNCLR on real pictures without labels and shows what it learned.
 *
 *     npm run demo                      two vendors' emoji: is the nearest drawing the same emoji?
 *     npm run demo -- --data photos/    your own pictures
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { textReporter } from '../../ts/cli/progress.js'
import { type StopWatch, watchForStop } from '../../ts/cli/stop.js'
import { EXIT, processTerminal, type Terminal } from '../../ts/cli/terminal.js'
import { NnclrError } from '../../ts/index.js'
import { renderReport } from '../../ts/report/report.js'
import { fetchEmoji } from './emoji.js'
import { emojiStudy } from './emoji-study.js'
import { folderStudy } from './folder-study.js'
import { epochsWithin, learn, untrainedCheckpoint } from './learn.js'
import { type DemoOptions, HELP, readOptions } from './options.js'
import { pageOf } from './page.js'
import { scoreLines } from './score-lines.js'

const terminal = processTerminal()
process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  const options = readOptions(argv)
  if (options === 'help') {
    terminal.out(HELP)
    return EXIT.ok
  }
  if ('problem' in options) {
    terminal.err(`${options.problem}\n`)
    return EXIT.usage
  }
  const scratch = await mkdtemp(join(tmpdir(), 'nnclr-demo-'))
  const announce = (name: string) =>
    terminal.err(`\n${name}: stopping; once more to quit at once\n`)
  using watch = watchForStop(process, announce, (code) => process.exit(code))
  try {
    return await demo(options, scratch, terminal, watch)
  } catch (error) {
    terminal.err(
      `error${error instanceof NnclrError ? ` ${error.code}` : ''}: ${error instanceof Error ? error.message : String(error)}\n`,
    )
    return EXIT.failure
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function demo(
  { data, seconds, out, seed, size, epochs: wanted }: DemoOptions,
  scratch: string,
  { out: say }: Terminal,
  { signal, exitCode }: StopWatch,
): Promise<number> {
  const study =
    data === null
      ? await emojiStudy(await fetchEmoji((text) => say(`${text}\n`)), size, seed)
      : await folderStudy(data, size, seed)
  say(`${study.lead}\n\n`)

  const untrained = await untrainedCheckpoint(study.settings, scratch)
  const epochs = wanted ?? (await epochsWithin(seconds, study.settings, scratch, signal))
  const reporter = textReporter(terminal)
  const learned = await learn(
    { ...study.settings, out, epochs, overwrite: true, signal },
    reporter.event,
  )
  const { checkpoint, stopped } = learned.result
  if (stopped || checkpoint === null) return exitCode() ?? EXIT.failure

  say('\nlooking for neighbours ...\n')
  const answer = await study.answer({ untrained, trained: checkpoint, learned })
  if (answer.scores !== null) say(`\n${scoreLines(answer.scores)}\n`)
  const page = join(out, 'report.html')
  await writeFile(page, renderReport(await pageOf(study, learned, answer)))
  say(`\nLook at it: ${page}\n`)
  return EXIT.ok
}
