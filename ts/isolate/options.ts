/** Where a call works: in this process, or in a child process of its own. */

import { type Check, didYouMean, oneOf, show } from '../config/check.js'
import { nearest } from '../config/nearest.js'
import { type ConfigIssue, NnclrError } from '../errors.js'
import { PRIORITIES, type Priority } from './priority.js'

/** How the child process of an isolated call is made. Every field may be left out. */
export interface IsolateOptions {
  /**
   * Most resident memory of the child process in MiB, from 64. Its use is looked at every 100 ms; a
   * child above it is ended, and the call rejects with `PROCESS`. @default no limit
   */
  readonly memoryLimitMB?: number | undefined
  /**
   * Ends the child process at once, without a checkpoint; the call rejects with this signal's
   * reason, an `AbortError` as a rule. For the second Ctrl-C: `signal` stops, `kill` ends.
   * @default none
   */
  readonly kill?: AbortSignal | undefined
  /**
   * What the system prefers when the processor is short: `below-normal` and `low` let this process and
   * others go first, `normal` has this process's own priority. @default 'below-normal'
   */
  readonly priority?: Priority | undefined
  /** Environment variables to add or replace; `undefined` removes one. @default none */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /**
   * Flags for the child's Node. @default those of this process that fit: not `--eval`, `--inspect`,
   * `--watch` and their like; none in Electron
   */
  readonly execArgv?: readonly string[] | undefined
  /**
   * Gets what the child writes. nnclr itself writes nothing; libtorch may warn.
   * @default it is written to the same stream of this process
   */
  readonly onOutput?: ((text: string, stream: 'stdout' | 'stderr') => void) | undefined
}

/** What `train`, `embed` and `knn` take beside their settings. */
export interface RunOptions {
  /**
   * Works in a child process, so that a crash or an exhausted memory ends the call and not this
   * process, which then does not load libtorch. @default false
   */
  readonly isolate?: boolean | IsolateOptions | undefined
}

const MIB = 1024 * 1024
/** Node and libtorch alone need several times this much. */
const LEAST_MB = 64

const CHECKS: Readonly<Record<keyof IsolateOptions, Check>> = {
  memoryLimitMB: {
    expected: `a whole number from ${LEAST_MB}`,
    accepts: (value) => Number.isSafeInteger(value) && (value as number) >= LEAST_MB,
  },
  kill: {
    expected: 'an AbortSignal',
    accepts: (value) => hasFunction(value, 'addEventListener') && 'aborted' in (value as object),
  },
  priority: oneOf(...PRIORITIES),
  env: {
    expected: 'an object of texts',
    accepts: (value) =>
      isObject(value) &&
      Object.values(value).every((text) => text === undefined || typeof text === 'string'),
  },
  execArgv: {
    expected: 'an array of texts',
    accepts: (value) => Array.isArray(value) && value.every((flag) => typeof flag === 'string'),
  },
  onOutput: { expected: 'a function', accepts: (value) => typeof value === 'function' },
}

/**
 * The child process that is asked for, or null to stay in this one.
 *
 * @throws NnclrError CONFIG naming every field that is unknown or has a wrong value.
 */
export function isolation(options: RunOptions): IsolateOptions | null {
  if (!isObject(options)) {
    throw NnclrError.config([
      {
        field: 'options',
        value: show(options),
        expected: 'an object, for example { isolate: true }',
      },
    ])
  }
  const issues: ConfigIssue[] = unknownFields(options, ['isolate'], '')
  const { isolate } = options as RunOptions
  if (isObject(isolate)) issues.push(...issuesOf(isolate))
  else if (isolate !== undefined && typeof isolate !== 'boolean') {
    const expected = `true or false, or an object of ${Object.keys(CHECKS).join(', ')}`
    issues.push({ field: 'isolate', value: show(isolate), expected })
  }
  if (issues.length > 0) throw NnclrError.config(issues)
  if (isolate === undefined || isolate === false) return null
  return isolate === true ? {} : isolate
}

/** The memory limit in bytes, null without one. */
export function memoryLimit({ memoryLimitMB }: IsolateOptions): number | null {
  return memoryLimitMB === undefined ? null : memoryLimitMB * MIB
}

function issuesOf(isolate: Record<string, unknown>): ConfigIssue[] {
  const issues = unknownFields(isolate, Object.keys(CHECKS), 'isolate.')
  for (const [name, check] of Object.entries(CHECKS)) {
    const value = isolate[name]
    if (value === undefined || check.accepts(value)) continue
    issues.push({ field: `isolate.${name}`, value: show(value), expected: check.expected })
  }
  return issues
}

function unknownFields(given: object, known: string[], prefix: string): ConfigIssue[] {
  const unknown = Object.entries(given).filter(([name]) => !known.includes(name))
  return unknown.map(([name, value]) => {
    const issue = { field: prefix + name, value: show(value), expected: 'a known field' }
    const hint = didYouMean(nearest(name, known))
    return hint === undefined ? issue : { ...issue, hint }
  })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function hasFunction(value: unknown, name: string): boolean {
  return isObject(value) && typeof value[name] === 'function'
}
