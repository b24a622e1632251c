/** Reads a launcher's environment variables and collects what is wrong with them. */

import type { ConfigIssue } from '../errors.js'
import type { Environment } from './environment.js'

/** The largest number of ranks, and of anything else that is counted here. */
const MOST = 1_000_000
/** TCP ports end here. */
const LAST_PORT = 65_535

/** Environment variables, read by kind. An empty one counts as not set. */
export class Variables {
  /** Everything found wrong so far. */
  readonly issues: ConfigIssue[] = []
  readonly #env: Environment

  constructor(env: Environment) {
    this.#env = env
  }

  has(name: string): boolean {
    return this.text(name) !== undefined
  }

  text(name: string): string | undefined {
    const value = this.#env[name]
    return value === '' ? undefined : value
  }

  /** A text that must be there. */
  needed(name: string, expected: string): string {
    const value = this.text(name)
    if (value === undefined) this.wrong(name, expected)
    return value ?? ''
  }

  /** A whole number from `least`; without a `fallback` it must be there. */
  whole(name: string, least: number, fallback?: number, most: number = MOST): number {
    const value = this.text(name)
    if (value === undefined && fallback !== undefined) return fallback
    const number = value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
    if (number >= least && number <= most) return number
    this.wrong(name, `a whole number from ${least} to ${most}`)
    // Any allowed number: the issue ends the reading before it is used.
    return least
  }

  port(name: string, fallback?: number): number {
    return this.whole(name, 1, fallback, LAST_PORT)
  }

  /** As PyTorch's Gloo group takes it; several, with commas, are not supported. */
  get networkInterface(): string | null {
    return this.text('GLOO_SOCKET_IFNAME') ?? null
  }

  /** The first of these that is set, to name it in an error. */
  firstOf(...names: string[]): string {
    return names.find((name) => this.has(name)) ?? names.join(', ')
  }

  /** Records what is wrong with a variable. */
  wrong(name: string, expected: string): void {
    const value = this.text(name)
    this.issues.push({
      field: name,
      value: value === undefined ? 'nothing' : `'${value}'`,
      expected,
    })
  }
}
