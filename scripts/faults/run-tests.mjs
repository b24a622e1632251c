// Runs single tests in the copy and says how each ended.
import { basename } from 'node:path'
import { hostTarget } from '../setup/host-target.mjs'
import { npmCommand } from '../setup/packages.mjs'
import { runCommand } from '../setup/run-command.mjs'

const AVA = 'node_modules/ava/entrypoints/cli.mjs'
/** @typedef {import('./table.mjs').FaultTest} FaultTest */

/** @param {FaultTest} test */
export const label = (test) => `${test.rust ?? test.ava}: ${test.name}`

export class Runner {
  #copy
  #env
  /** Of which sources the copy's addon was built. */
  #addonOf = ''

  /** @param {string} copy @param {NodeJS.ProcessEnv} env */
  constructor(copy, env) {
    this.#copy = copy
    this.#env = env
  }

  /**
   * @param {FaultTest} test
   * @param {string} sources names the state of the Rust sources
   * @returns {Promise<{ passed: boolean, reason: string, output: string }>} reason: what a red test says first
   * @throws when it does not run: it does not compile, or there is no such test
   */
  async run(test, sources) {
    if (test.rust === undefined) {
      await this.#buildAddon(sources)
      return this.#ava(test)
    }
    return this.#cargo(test)
  }

  async #cargo({ rust, name }) {
    const target = rust.startsWith('crate/tests/') ? ['--test', basename(rust, '.rs')] : ['--lib']
    const build = ['--release', '--target', hostTarget(), '--no-default-features']
    const { output } = await this.#command('cargo', ['test', ...build, ...target, '--', name])
    const ended = new RegExp(`^test (?:\\S+::)?${name}\\b.* (ok|FAILED)$`, 'm').exec(output)?.[1]
    // A test that takes its process along has no line of its own.
    const crashed = /\(signal: \d+/.test(output)
    if (ended === undefined && !crashed) throw new Error(`${rust}: ${name} did not run:\n${output}`)
    const reason = /panicked at .*\n(.+)/.exec(output)?.[1] ?? (crashed ? 'crashed' : '')
    return { passed: ended === 'ok', reason, output }
  }

  async #ava({ ava, name }) {
    const words = [AVA, '--tap', ava, `--match=${name}`]
    const { code, output } = await this.#command(process.execPath, words)
    const lines = output.split('\n').filter((line) => /^(not )?ok \d+ /.test(line))
    const failed = lines.filter((line) => line.startsWith('not ok'))
    if (lines.length === 0) throw new Error(`${ava}: ${name} did not run:\n${output}`)
    const said = (field) => new RegExp(`^ +${field}: '?([^'\n].*?)'?$`, 'm').exec(output)?.[1]
    const reason = said('message') ?? said('assertion') ?? ''
    return { passed: code === 0 && failed.length === 0, reason, output }
  }

  async #buildAddon(sources) {
    if (this.#addonOf === sources) return
    const [command, words] = npmCommand()
    const { code, output } = await this.#command(command, [
      ...words,
      'run',
      '--silent',
      'build:native',
    ])
    if (code !== 0) throw new Error(`the addon could not be built:\n${output}`)
    this.#addonOf = sources
  }

  #command(command, words) {
    return runCommand(command, words, { cwd: this.#copy, env: this.#env })
  }
}
