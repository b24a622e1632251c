/** What all commands share: their form, the flags every one has, and how their arguments are read. */

import { type ConfigIssue, NnclrError } from '../errors.js'
import type { LoadApi } from './api.js'
import { type Arguments, type Flag, readArguments } from './flags.js'
import type { CommandHelp } from './help.js'
import type { StopWatch } from './stop.js'
import type { Terminal } from './terminal.js'

/** What a command runs with. */
export interface Surroundings {
  readonly terminal: Terminal
  readonly loadApi: LoadApi
  /** Starts listening for signals; a command that never asks is ended by them. */
  watchForStop(announce: (name: string) => void): StopWatch
  /** Calls back when the reader of standard output has gone; without it the process just ends. */
  onBrokenPipe(callback: () => void): void
}

/** One command of `nnclr`. */
export interface Command {
  readonly name: string
  /** For the list of commands. */
  readonly summary: string
  help(): CommandHelp
  /** Every flag, those of `help` and no others. */
  flags(): readonly Flag[]
  /** Reads its words in its own way. @default all flags anywhere, `argumentsOf` */
  read?(argv: readonly string[]): Arguments
  /** Does it; resolves with the exit code. */
  run(args: Arguments, surroundings: Surroundings): Promise<number>
}

/** Flags of every command. */
export const COMMON_FLAGS: readonly Flag[] = [
  { key: 'json', name: 'json', isSwitch: true, words: 'results as JSON on standard output' },
  {
    key: 'verbose',
    name: 'verbose',
    isSwitch: true,
    words: 'show the stack and cause of an error',
  },
  { key: 'help', name: 'help', short: 'h', isSwitch: true, words: 'this help' },
]

/** The checkpoint a command reads. */
export const CHECKPOINT_FLAG: Flag = {
  key: 'checkpoint',
  name: 'checkpoint',
  short: 'c',
  isSwitch: false,
  words: 'the trained network: a checkpoint file, or a run directory for its newest one',
}

/** The device a command computes on. */
export const DEVICE_FLAG: Flag = {
  key: 'device',
  name: 'device',
  isSwitch: false,
  words: 'where to compute',
  expected: 'auto | cpu | cuda | cuda:N',
  fallback: 'auto',
}

/** Reads a command's arguments; throws nothing, so that `--help` works beside a mistake. */
export function argumentsOf(command: Command, argv: readonly string[]): Arguments {
  return command.read?.(argv) ?? readArguments(argv, command.flags())
}

/** All problems of the command line in one error. */
export function failOn(issues: readonly ConfigIssue[]): void {
  if (issues.length > 0) throw NnclrError.config(issues)
}

/** A flag's text, or an issue when it must be there and is not. */
export function required(
  { values, positionals }: Arguments,
  flag: Pick<Flag, 'key' | 'name'>,
  issues: ConfigIssue[],
  position?: number,
): string {
  const value = values.get(flag.key) ?? (position === undefined ? undefined : positionals[position])
  if (typeof value === 'string') return value
  issues.push({ field: `--${flag.name}`, value: 'nothing', expected: 'a value; see --help' })
  return ''
}

/** Words beyond the ones a command takes are mistakes, often a missing quote. */
export function tooMany({ positionals }: Arguments, allowed: number): ConfigIssue[] {
  return positionals.slice(allowed).map((word) => ({
    field: 'arguments',
    value: `'${word}'`,
    expected:
      allowed === 0
        ? 'only flags'
        : `no more than ${allowed} word${allowed === 1 ? '' : 's'} beside flags`,
  }))
}
