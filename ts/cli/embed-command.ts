/** `nnclr embed`. */

import { extname } from 'node:path'
import { didYouMean, show } from '../config/check.js'
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
import { FEATURE_FORMATS, type FeatureFormat, writeFeatures } from './feature-file.js'
import type { Flag } from './flags.js'
import { IMAGE_SIZE_FLAG, imageSizeOf } from './image-size.js'
import { EXIT } from './terminal.js'
import { count } from './words.js'

const OUT_FLAG: Flag = {
  key: 'out',
  name: 'out',
  short: 'o',
  isSwitch: false,
  words: 'file to write; its ending says how',
  expected: FEATURE_FORMATS.join(' | '),
}

const FLAGS: readonly Flag[] = [
  CHECKPOINT_FLAG,
  {
    key: 'data',
    name: 'data',
    isSwitch: false,
    words: 'pictures: a folder, searched to its depth',
  },
  OUT_FLAG,
  IMAGE_SIZE_FLAG,
  DEVICE_FLAG,
]

/** The command. */
export const embedCommand: Command = {
  name: 'embed',
  summary: 'write the features of a folder of pictures to a file',
  flags: () => [...FLAGS, ...COMMON_FLAGS],
  help: () => ({
    usage: 'embed [DATA] --checkpoint FILE --out FILE [flags]',
    summary:
      'Runs every picture of DATA through the trained backbone and writes one row of features for each.',
    examples: [
      ['nnclr embed photos/ --checkpoint runs/first --out features.npy', 'features for numpy.load'],
      [
        'nnclr embed photos/ --checkpoint runs/first --out features.csv',
        'features for a spreadsheet',
      ],
    ],
    groups: [
      { title: 'Flags', flags: FLAGS },
      { title: 'General', flags: COMMON_FLAGS },
    ],
    notes: [
      '.npy is a float32 matrix, with the paths of its rows beside it in NAME.paths.txt. .jsonl has { path, label, features } on each line. .csv has the columns path, label, f0, f1, ...',
      'Pictures that cannot be read have no row and are listed on standard error.',
      'Exit codes: 0 done, 1 failure, 2 wrong flags.',
    ],
  }),
  run: async (args, { terminal, loadApi }) => {
    const issues: ConfigIssue[] = [...args.issues, ...tooMany(args, 1)]
    const checkpoint = required(args, CHECKPOINT_FLAG, issues)
    const data = required(args, { key: 'data', name: 'data' }, issues, 0)
    const out = required(args, OUT_FLAG, issues)
    const device = String(args.values.get('device') ?? 'auto')
    if (!schema.device.accepts(device)) {
      issues.push({ field: '--device', value: show(device), expected: schema.device.expected })
    }
    const size = imageSizeOf(args, issues)
    const format = FEATURE_FORMATS.find((ending) => ending === extname(out).toLowerCase())
    if (out !== '' && format === undefined) issues.push(unknownFormat(out))
    failOn(issues)
    const embedded = await (await loadApi()).embed({ data, checkpoint, device, ...size })
    for (const { path, reason } of embedded.bad)
      terminal.err(`warning: ${path} left out: ${reason}\n`)
    const files = await writeFeatures(out, format as FeatureFormat, embedded)
    const { count: rows, dim } = embedded
    terminal.out(
      args.values.get('json') === true
        ? `${JSON.stringify({ files, count: rows, dim, bad: embedded.bad.length })}\n`
        : `${count(rows)} rows of ${dim} features: ${files.join(', ')}\n`,
    )
    return EXIT.ok
  },
}

function unknownFormat(out: string): ConfigIssue {
  const hint = didYouMean(extname(out) === '' ? `${out}.npy` : null)
  const issue = {
    field: '--out',
    value: show(out),
    expected: `a file ending in ${FEATURE_FORMATS.join(', ')}`,
  }
  return hint === undefined ? issue : { ...issue, hint }
}
