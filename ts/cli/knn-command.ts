/** `nnclr knn`. */

import { show } from '../config/check.js'
import { schema } from '../config/schema.js'
import type { ConfigIssue } from '../errors.js'
import {
  CHECKPOINT_FLAG,
  COMMON_FLAGS,
  type Command,
  DEVICE_FLAG,
  failOn,
  required,
  tooMany,
} from './command.js'
import { valueFromText } from './config-flags.js'
import type { Flag } from './flags.js'
import { IMAGE_SIZE_FLAG, imageSizeOf } from './image-size.js'
import { EXIT } from './terminal.js'
import { count, percent } from './words.js'

const FLAGS: readonly Flag[] = [
  CHECKPOINT_FLAG,
  {
    key: 'data',
    name: 'data',
    isSwitch: false,
    words: 'pictures to compare with; sub-folders are classes',
  },
  {
    key: 'validation',
    name: 'validation',
    isSwitch: false,
    words:
      'pictures to classify: a folder with the same classes, or the share of --data to hold back',
    fallback: '0.2',
  },
  {
    key: 'k',
    name: 'k',
    isSwitch: false,
    words: 'neighbours that vote',
    expected: schema.evaluation.k.expected,
    fallback: '200',
  },
  {
    key: 'temperature',
    name: 'temperature',
    isSwitch: false,
    words: "temperature of the votes' weights",
    expected: schema.evaluation.temperature.expected,
    fallback: '0.1',
  },
  IMAGE_SIZE_FLAG,
  DEVICE_FLAG,
]

const DEFAULT_SHARE = '0.2'

/** The command. */
export const knnCommand: Command = {
  name: 'knn',
  summary: 'score a trained network: classify pictures by their nearest neighbours',
  flags: () => [...FLAGS, ...COMMON_FLAGS],
  help: () => ({
    usage: 'knn [DATA] --checkpoint FILE [flags]',
    summary:
      'Classifies each validation picture by a vote of its nearest neighbours among DATA, by cosine of backbone features, and prints the share that is right.',
    examples: [
      [
        'nnclr knn photos/train --validation photos/test --checkpoint runs/first',
        'score a finished run against a folder of test pictures',
      ],
    ],
    groups: [
      { title: 'Flags', flags: FLAGS },
      { title: 'General', flags: COMMON_FLAGS },
    ],
    notes: ['Exit codes: 0 done, 1 failure, 2 wrong flags.'],
  }),
  run: async (args, { terminal, loadApi }) => {
    const issues: ConfigIssue[] = [...args.issues, ...tooMany(args, 1)]
    const checkpoint = required(args, CHECKPOINT_FLAG, issues)
    const data = required(args, { key: 'data', name: 'data' }, issues, 0)
    const checked = <T>(
      key: string,
      check: { expected: string; accepts(value: unknown): boolean },
      fallback: string,
    ): T => {
      const value = valueFromText(String(args.values.get(key) ?? fallback), check)
      if (!check.accepts(value))
        issues.push({ field: `--${key}`, value: show(value), expected: check.expected })
      return value as T
    }
    const options = {
      data,
      checkpoint,
      validation: checked<string | number>('validation', schema.validation, DEFAULT_SHARE),
      k: checked<number>('k', schema.evaluation.k, '200'),
      temperature: checked<number>('temperature', schema.evaluation.temperature, '0.1'),
      device: checked<string>('device', schema.device, 'auto'),
      ...imageSizeOf(args, issues),
    }
    failOn(issues)
    const score = await (await loadApi()).knn(options)
    terminal.out(
      args.values.get('json') === true
        ? `${JSON.stringify(score)}\n`
        : `kNN top-1 ${percent(score.top1, 1)} (${count(score.queries)} pictures against ${count(score.references)}, k ${score.k}, temperature ${score.temperature}, ${score.imageSize} px)\n`,
    )
    return EXIT.ok
  },
}
