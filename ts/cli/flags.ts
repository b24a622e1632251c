/**
 * Command line flags: which there are, and how the words after them become values. Every problem is
 * collected, so that a user sees all of them at once; whether a value is allowed is decided by the
 * configuration's own checks, never here a second time.
 */

import { parseArgs } from 'node:util'
import { didYouMean } from '../config/check.js'
import { nearest } from '../config/nearest.js'
import type { ConfigIssue } from '../errors.js'

/** One flag of a command. */
export interface Flag {
  /** The key under which its value is handed on. */
  readonly key: string
  /** Its name in kebab case, without dashes in front. */
  readonly name: string
  /** Other spellings that work but are not shown. */
  readonly aliases?: readonly string[]
  /** One letter. */
  readonly short?: string
  /** A switch takes no value; `--no-NAME` turns it off. */
  readonly isSwitch: boolean
  /** Its meaning, for `--help`. */
  readonly words: string
  /** Allowed values in words, for `--help`. */
  readonly expected?: string
  /** The value without the flag, for `--help`. */
  readonly fallback?: string
}

/** What was written on the command line. */
export interface Arguments {
  /** Values by flag key: text, or a boolean for a switch. The last one wins. */
  readonly values: ReadonlyMap<string, string | boolean>
  readonly positionals: readonly string[]
  readonly issues: readonly ConfigIssue[]
}

/** Reads the arguments of a command against its flags. */
export function readArguments(argv: readonly string[], flags: readonly Flag[]): Arguments {
  const byName = new Map(
    flags.flatMap((flag) => [flag.name, ...(flag.aliases ?? [])].map((name) => [name, flag])),
  )
  const { tokens } = parseArgs({
    args: [...argv],
    options: parserOptions(byName),
    strict: false,
    allowPositionals: true,
    allowNegative: true,
    tokens: true,
  })
  const values = new Map<string, string | boolean>()
  const positionals: string[] = []
  const issues: ConfigIssue[] = []
  // The word after an unknown flag was meant for it, and is not told as a second mistake.
  let strayAt = -1
  for (const token of tokens) {
    if (token.kind === 'positional' && token.index !== strayAt) positionals.push(token.value)
    if (token.kind !== 'option') continue
    const { flag, negated } = lookUp(token.rawName, byName)
    const value = flag && flagValue(flag, negated, token.value, token.inlineValue === true)
    if (flag === undefined) {
      strayAt = token.index + 1
      issues.push(unknownFlag(token.rawName, byName))
    } else if (typeof value === 'object') issues.push({ field: token.rawName, ...value })
    else if (value !== undefined) values.set(flag.key, value)
  }
  return { values, positionals, issues }
}

/** The parser turns `--no-NAME` and short flags into names; the raw name still tells them apart. */
function lookUp(
  rawName: string,
  byName: ReadonlyMap<string, Flag>,
): { flag: Flag | undefined; negated: boolean } {
  const name = rawName.replace(/^--?/, '')
  const found = rawName.startsWith('--')
    ? byName.get(name)
    : [...byName.values()].find(({ short }) => short === name)
  const negated = found === undefined && name.startsWith('no-')
  return { flag: negated ? byName.get(name.slice('no-'.length)) : found, negated }
}

/** The value of one occurrence, or what is wrong with it. */
function flagValue(
  flag: Flag,
  negated: boolean,
  text: string | undefined,
  inline: boolean,
): string | boolean | Omit<ConfigIssue, 'field'> {
  if (flag.isSwitch) {
    if (text === undefined) return !negated
    if (!negated && (text === 'true' || text === 'false')) return text === 'true'
    return { value: `'${text}'`, expected: `no value; --${flag.name} or --no-${flag.name}` }
  }
  if (negated) return { value: 'a switch', expected: `--${flag.name} VALUE` }
  // `--out --resume`: the parser takes the next flag for the value; `--lr -1` is a value.
  const swallowed = text !== undefined && !inline && /^--?[a-z]/i.test(text)
  if (text === undefined || text === '' || swallowed) {
    return {
      value: swallowed ? `the flag ${text}` : 'nothing',
      expected: flag.expected || 'a value',
    }
  }
  return text
}

function parserOptions(
  byName: ReadonlyMap<string, Flag>,
): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  return Object.fromEntries(
    [...byName].map(([name, { isSwitch, short, name: main }]) => [
      name,
      {
        type: isSwitch ? 'boolean' : 'string',
        ...(short !== undefined && name === main ? { short } : {}),
      },
    ]),
  )
}

function unknownFlag(rawName: string, byName: ReadonlyMap<string, Flag>): ConfigIssue {
  const names = [...byName.keys()]
  const bare = rawName.replace(/^-+/, '')
  // A right name in the wrong place: `--crop-scale` for `--transform.crop-scale`.
  const misplaced = names.find((name) => name.slice(name.lastIndexOf('.') + 1) === bare)
  const meant = byName.get(misplaced ?? nearest(bare, names) ?? '')
  const hint = didYouMean(meant === undefined ? null : `--${meant.name}`)
  const issue = { field: rawName, value: 'an unknown flag', expected: 'a flag of --help' }
  return hint === undefined ? issue : { ...issue, hint }
}
