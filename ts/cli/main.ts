/** From the words of the command line to an exit code. Nothing here knows what a command does. */

import { didYouMean, show } from '../config/check.js'
import { nearest } from '../config/nearest.js'
import { configFields } from '../config.js'
import { type ConfigIssue, isAbort, NnclrError } from '../errors.js'
import { argumentsOf, type Command, type Surroundings } from './command.js'
import { flagName } from './config-flags.js'
import { cudaCommand } from './cuda-command.js'
import { embedCommand } from './embed-command.js'
import { commandHelp, exampleBlock } from './help.js'
import { infoCommand } from './info-command.js'
import { knnCommand } from './knn-command.js'
import { launchCommand } from './launch-command.js'
import { EXIT, type Terminal } from './terminal.js'
import { trainCommand } from './train-command.js'

const COMMANDS: readonly Command[] = [
  trainCommand,
  knnCommand,
  embedCommand,
  launchCommand,
  infoCommand,
  cudaCommand,
]
const FIELDS: ReadonlySet<string> = new Set(configFields().map(({ field }) => field))

/** Runs the program; resolves with its exit code and never rejects. */
export async function main(
  argv: readonly string[],
  version: string,
  around: Surroundings,
): Promise<number> {
  const [first, ...rest] = argv
  const { terminal } = around
  const verbose = argv.includes('--verbose')
  try {
    if (first === undefined) {
      terminal.err(helpFor(undefined))
      return EXIT.usage
    }
    if (first === '--help' || first === '-h' || first === 'help') {
      terminal.out(helpFor(rest[0]))
      return EXIT.ok
    }
    if (first === '--version' || first === '-V') {
      terminal.out(`${version}\n`)
      return EXIT.ok
    }
    const command = COMMANDS.find(({ name }) => name === first)
    if (command === undefined) throw NnclrError.config([unknownCommand(first)])
    const args = argumentsOf(command, rest)
    if (args.values.get('help') === true) {
      terminal.out(commandHelp(command.help()))
      return EXIT.ok
    }
    return await command.run(args, around)
  } catch (error) {
    return tellError(error, terminal, verbose)
  }
}

function helpFor(name: string | undefined): string {
  const command = COMMANDS.find((candidate) => candidate.name === name)
  return command === undefined ? programHelp() : commandHelp(command.help())
}

function programHelp(): string {
  const commands = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(8)}${summary}`)
  return `${exampleBlock([
    ['nnclr train photos/ --out runs/first', 'learn from a folder of pictures, no labels needed'],
    ['nnclr embed photos/ --checkpoint runs/first --out features.npy', 'use what was learned'],
  ])}

NNCLR (arXiv 2104.14548): learning to see without labels, on libtorch.

Usage: nnclr COMMAND [flags]

Commands:
${commands.join('\n')}

nnclr COMMAND --help tells the flags of a command, nnclr --version the version.

Exit codes:
  0    done
  1    failure
  2    wrong command, flags or settings
  130  stopped by SIGINT (Ctrl-C); training leaves a checkpoint
  141  training stopped because the reader of standard output went away
  143  stopped by SIGTERM; training leaves a checkpoint
`
}

function unknownCommand(word: string): ConfigIssue {
  const names = COMMANDS.map(({ name }) => name)
  const hint = didYouMean(nearest(word, names))
  const issue = { field: 'command', value: show(word), expected: names.join(' | ') }
  return hint === undefined ? issue : { ...issue, hint }
}

/** Says what went wrong, without a stack unless asked; the exit code says of what kind it is. */
function tellError(error: unknown, terminal: Terminal, verbose: boolean): number {
  const known = isAbort(error) ? error : NnclrError.from(error)
  if (known instanceof NnclrError && known.issues.length > 0) terminal.err(issueLines(known.issues))
  else if (known instanceof NnclrError)
    terminal.err(`error ${known.code}: ${inFlags(known.message)}\n`)
  else terminal.err(`error: ${known.message}\n`)
  if (verbose) terminal.err(`${stackOf(known)}\n`)
  else if (known instanceof NnclrError && known.code === 'PANIC') {
    terminal.err('this is a mistake in nnclr; --verbose shows where\n')
  }
  return known instanceof NnclrError && known.code === 'CONFIG' ? EXIT.usage : EXIT.failure
}

function issueLines(issues: readonly ConfigIssue[]): string {
  const lines = issues.map(({ field, value, expected, hint }) => {
    // A field is told as its flag, anything else by its own name.
    const name = FIELDS.has(field) ? `--${flagName(field)}` : field
    const remedy = hint === undefined ? '' : ` (${inFlags(hint)})`
    return `  ${name}: got ${value}, expected ${inFlags(expected)}${remedy}\n`
  })
  const heading = issues.length === 1 ? 'error CONFIG:' : `error CONFIG: ${issues.length} problems`
  return `${heading}\n${lines.join('')}`
}

/** Messages speak to programs (`resume: true`); here the reader writes `--resume`. */
function inFlags(message: string): string {
  return message.replace(
    /\b([A-Za-z.]+): (true|false)\b/g,
    (words, field: string, value: string) =>
      FIELDS.has(field) ? `--${value === 'true' ? '' : 'no-'}${flagName(field)}` : words,
  )
}

/** The error and what it was made from, to the last cause. */
function stackOf(error: Error): string {
  const own = error.stack ?? `${error.name}: ${error.message}`
  return error.cause instanceof Error ? `${own}\ncaused by ${stackOf(error.cause)}` : own
}
