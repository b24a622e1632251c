/** `nnclr train`. */

import { readFile } from 'node:fs/promises'
import { resolveConfig } from '../config.js'
import { type ConfigIssue, NnclrError } from '../errors.js'
import { COMMON_FLAGS, type Command, failOn, tooMany } from './command.js'
import { configFlags, configFrom, type FlagGroup, flagName } from './config-flags.js'
import type { Flag } from './flags.js'
import { jsonReporter, textReporter } from './progress.js'
import { EXIT } from './terminal.js'

const CONFIG_FLAG: Flag = {
  key: 'config',
  name: 'config',
  isSwitch: false,
  words: 'a JSON file of fields, as train() takes them; flags win over it',
}

const groups = (): readonly FlagGroup[] => [
  ...configFlags(),
  { title: 'General', flags: [CONFIG_FLAG, ...COMMON_FLAGS] },
]

/** The command. */
export const trainCommand: Command = {
  name: 'train',
  summary: 'train a network on a folder of pictures',
  flags: () => groups().flatMap(({ flags }) => flags),
  help: () => ({
    usage: 'train [DATA] --out DIR [flags]',
    summary:
      'Trains NNCLR on pictures, without labels. DATA is short for --data DATA. Sub-folders of the first level count as classes; they are used for scores, never for training.',
    examples: [
      ['nnclr train photos/ --out runs/first', 'train on a folder with the default settings'],
      [
        'nnclr train photos/ --out runs/second --validation 0.1 --epochs 50 --transform.crop-scale 0.3,1',
        'hold back a tenth for the kNN score, train longer, crop more gently',
      ],
      [
        'nnclr train photos/ --out runs/second --resume --epochs 80',
        'go on where it stopped, and further',
      ],
    ],
    groups: groups(),
    notes: [
      'Fields of a group are written with a dot (--transform.hue 0.1) or with dashes (--transform-hue 0.1). Switches that are on are turned off by --no-NAME.',
      'Ctrl-C stops after the current step with a checkpoint (exit code 130), SIGTERM likewise (143); --resume goes on from there. A second signal ends at once.',
      '--json writes every event as a line of JSON, and nothing else, to standard output. Warnings and errors go to standard error.',
      'Exit codes: 0 done, 1 failure, 2 wrong flags or settings, 130 or 143 stopped by a signal, 141 stopped because the reader of standard output went away.',
    ],
  }),
  run: async (args, { terminal, loadApi, watchForStop, onBrokenPipe }) => {
    const { values, positionals, issues } = args
    const file = values.get('config')
    const fields = new Map([
      ...(positionals[0] === undefined ? [] : [['data', positionals[0]] as const]),
      ...values,
    ])
    const config = configFrom(fields, typeof file === 'string' ? await readConfig(file) : {})
    failOn([...issues, ...tooMany(args, 1), ...problemsOf(config).filter(notTold(issues))])
    const reporter = values.get('json') === true ? jsonReporter(terminal) : textReporter(terminal)
    const { train } = await loadApi()
    using watch = watchForStop((name) =>
      reporter.note(
        `${name}: stopping after this step with a checkpoint; once more to quit at once`,
      ),
    )
    onBrokenPipe(() => watch.stop(EXIT.brokenPipe))
    const run = train({
      ...(config as unknown as Parameters<typeof train>[0]),
      signal: watch.signal,
    })
    for await (const event of run) reporter.event(event)
    const { stopped } = await run
    return stopped ? (watch.exitCode() ?? EXIT.ok) : EXIT.ok
  },
}

/** What `resolveConfig` finds wrong, told together with what is wrong with the flags. */
function problemsOf(config: Record<string, unknown>): readonly ConfigIssue[] {
  try {
    resolveConfig(config)
    return []
  } catch (error) {
    if (error instanceof NnclrError && error.issues.length > 0) return error.issues
    throw error
  }
}

/** A flag without its value is told once, not again as a missing field. */
function notTold(issues: readonly ConfigIssue[]): (issue: ConfigIssue) => boolean {
  const told = new Set(issues.map(({ field }) => field))
  return ({ field, value }) => value !== 'nothing' || !told.has(`--${flagName(field)}`)
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw NnclrError.io('read', path, error)
  })
  const wrong = (value: string, expected: string) =>
    NnclrError.config([{ field: '--config', value, expected }])
  try {
    const config: unknown = JSON.parse(text)
    if (isRecord(config)) {
      // The config.json of a run directory keeps the fields beside versions and what they came to.
      return isRecord(config['versions']) && isRecord(config['config']) ? config['config'] : config
    }
  } catch (error) {
    throw wrong(path, `a file of JSON (${error instanceof Error ? error.message : String(error)})`)
  }
  throw wrong(path, 'a JSON object of fields')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
