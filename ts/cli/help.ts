/** `--help`: an example first, then the flags by theme, with range and default. */

import type { FlagGroup } from './config-flags.js'
import type { Flag } from './flags.js'

/** A command as `--help` tells it. */
export interface CommandHelp {
  /** After `nnclr`. */
  readonly usage: string
  readonly summary: string
  /** Command lines to copy, each with what it does. */
  readonly examples: readonly (readonly [command: string, meaning: string])[]
  readonly groups: readonly FlagGroup[]
  /** Paragraphs at the end. */
  readonly notes: readonly string[]
}

const WIDTH = 88
const INDENT = '      '

/** The help of one command. */
export function commandHelp({ usage, summary, examples, groups, notes }: CommandHelp): string {
  const sections = groups.map(({ title, flags }) => `${title}:\n${flags.map(flagHelp).join('\n')}`)
  return `${[exampleBlock(examples), wrap(summary, ''), `Usage: nnclr ${usage}`, ...sections, ...notes.map((note) => wrap(note, ''))].join('\n\n')}\n`
}

/** Example command lines, each under its meaning. */
export function exampleBlock(examples: CommandHelp['examples']): string {
  const lines = examples.map(([command, meaning]) => `  # ${meaning}\n  ${command}`)
  return `${examples.length === 1 ? 'Example' : 'Examples'}:\n${lines.join('\n')}`
}

/** `  --name VALUE   meaning`, then range and default in a quieter second line. */
function flagHelp({ name, short, isSwitch, words, expected, fallback }: Flag): string {
  const spelled = `${short === undefined ? '' : `-${short}, `}--${isSwitch && fallback === 'on' ? '[no-]' : ''}${name}`
  const range = isSwitch || expected === undefined || expected === '' ? null : expected
  const facts = [range, fallback === undefined ? null : `default ${fallback}`].filter(
    (fact) => fact !== null,
  )
  const detail = facts.length === 0 ? '' : `\n${wrap(`[${facts.join('; ')}]`, INDENT)}`
  return `  ${spelled}${isSwitch ? '' : ' VALUE'}\n${wrap(words, INDENT)}${detail}`
}

/** Breaks a paragraph at spaces. */
export function wrap(text: string, indent: string): string {
  const lines: string[] = []
  let line = indent
  for (const word of text.split(' ')) {
    if (line.length > indent.length && line.length + word.length + 1 > WIDTH) {
      lines.push(line)
      line = indent
    }
    line += line.length > indent.length ? ` ${word}` : word
  }
  return [...lines, line].join('\n')
}
