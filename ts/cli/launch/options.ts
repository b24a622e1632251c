/** What `nnclr launch` was asked for, from its flags. */

import { show } from '../../config/check.js'
import type { ConfigIssue } from '../../errors.js'
import { type Arguments, type Flag, readArguments } from '../flags.js'

/** The flags of `launch` beside those of every command, as torchrun names them. */
export const LAUNCH_FLAGS: readonly Flag[] = [
  {
    key: 'ranks',
    name: 'nproc-per-node',
    aliases: ['nproc_per_node'],
    short: 'n',
    isSwitch: false,
    words: 'processes to start on this machine',
    expected: 'a whole number from 1 to 1024',
    fallback: '1',
  },
  {
    key: 'machines',
    name: 'nnodes',
    isSwitch: false,
    words: 'machines; start nnclr launch on each, with the same flags but --node-rank',
    expected: 'a whole number from 1 to 4096',
    fallback: '1',
  },
  {
    key: 'machine',
    name: 'node-rank',
    aliases: ['node_rank'],
    isSwitch: false,
    words: 'this machine among them',
    expected: 'a whole number from 0 to below --nnodes',
    fallback: '0',
  },
  {
    key: 'address',
    name: 'master-addr',
    aliases: ['master_addr'],
    isSwitch: false,
    words: 'host name or address of machine 0, as the others reach it',
    fallback: '127.0.0.1 for one machine',
  },
  {
    key: 'port',
    name: 'master-port',
    aliases: ['master_port'],
    isSwitch: false,
    words: 'a free port of machine 0',
    expected: 'a whole number from 1 to 65535',
    fallback: 'a free one for one machine, else 29500',
  },
  {
    key: 'restarts',
    name: 'max-restarts',
    aliases: ['max_restarts'],
    isSwitch: false,
    words: 'how often all are started anew after a failure; one machine only',
    expected: 'a whole number from 0 to 1000',
    fallback: '0',
  },
]

/** What to start. */
export interface LaunchOptions {
  readonly script: string
  readonly words: readonly string[]
  /** Processes on this machine. */
  readonly ranks: number
  readonly machines: number
  readonly machine: number
  readonly address: string
  /** null for any that is free. */
  readonly port: number | null
  readonly restarts: number
}

/** torchrun's port, where none is given and several machines must know it. */
const DEFAULT_PORT = 29_500

/**
 * Splits the words at the script: what stands before it is for `launch`, what follows is the script's
 * own, whatever it looks like.
 */
export function readLaunchArguments(argv: readonly string[], flags: readonly Flag[]): Arguments {
  const script = scriptAt(argv, flags)
  const read = readArguments(argv.slice(0, script), flags)
  return { ...read, positionals: argv.slice(script) }
}

function scriptAt(argv: readonly string[], flags: readonly Flag[]): number {
  let isValue = false
  const at = argv.findIndex((word) => {
    if (isValue || word === '--') {
      isValue = false
      return false
    }
    if (!word.startsWith('-')) return true
    const names = flags.flatMap(({ name, aliases, short, isSwitch }) =>
      isSwitch ? [] : [`--${name}`, ...(aliases ?? []).map((alias) => `--${alias}`), `-${short}`],
    )
    // `--nnodes=2` and `-n2` hold their value.
    isValue = names.includes(word)
    return false
  })
  return at === -1 ? argv.length : at
}

/** The options; everything wrong is added to `issues`. */
export function launchOptions(
  { values, positionals }: Arguments,
  issues: ConfigIssue[],
): LaunchOptions {
  const number = (key: string, least: number, most: number, fallback: number): number => {
    const text = values.get(key)
    if (text === undefined) return fallback
    const value = typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    const field = `--${LAUNCH_FLAGS.find((flag) => flag.key === key)?.name}`
    issues.push({ field, value: show(text), expected: `a whole number from ${least} to ${most}` })
    return fallback
  }
  const [script = '', ...words] = positionals
  if (script === '') {
    issues.push({ field: 'SCRIPT', value: 'nothing', expected: 'a program for Node; see --help' })
  }
  const ranks = number('ranks', 1, 1024, 1)
  const machines = number('machines', 1, 4096, 1)
  const machine = number('machine', 0, machines - 1, 0)
  const address = values.get('address')
  if (machines > 1 && address === undefined) {
    const expected = 'the address of machine 0: there are several machines'
    issues.push({ field: '--master-addr', value: 'nothing', expected })
  }
  const restarts = number('restarts', 0, 1000, 0)
  if (machines > 1 && restarts > 0) {
    const expected =
      '0 for several machines: one of them cannot start the others anew (torchrun can)'
    issues.push({ field: '--max-restarts', value: String(restarts), expected })
  }
  const port = number('port', 1, 65_535, 0)
  return {
    script,
    words,
    ranks,
    machines,
    machine,
    address: typeof address === 'string' ? address : '127.0.0.1',
    port: port > 0 ? port : machines > 1 ? DEFAULT_PORT : null,
    restarts,
  }
}
