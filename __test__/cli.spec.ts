import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import type { TrainConfig } from '../ts/config.js'
import { NnclrError } from '../ts/errors.js'
import { RESULT, recordedEvents, recordedRun } from './cli-events.js'
import { fakeTerminal, nnclr } from './cli-terminal.js'
import { temporaryFolder } from './temporary-folder.js'

/** The configuration that `nnclr train` with these words hands to `train`. */
async function configOf(...argv: string[]): Promise<TrainConfig | null> {
  let seen: TrainConfig | null = null
  await nnclr(['train', ...argv], {
    train: (config) => {
      seen = config
      return recordedRun()
    },
  })
  return seen
}

test('flags become fields, in groups with a dot or with dashes', async (t) => {
  const config = await configOf(
    'photos/',
    '--out=runs/first',
    '--lr',
    '0.3',
    '--batch-size',
    'auto',
    '--transform.crop-scale',
    '0.2,1',
    '--transform-hue',
    '0.1',
    '--transform.rotation-degrees',
    'null',
    '--background',
    '0,0,0',
    '--no-drop-last',
    '--optimizer',
    'sgd',
    '--nesterov',
    '--validation',
    '0.25',
  )
  const { signal, ...fields } = config ?? { data: '', out: '' }
  t.true(signal instanceof AbortSignal)
  t.deepEqual(fields as object, {
    data: 'photos/',
    out: 'runs/first',
    lr: 0.3,
    batchSize: 'auto',
    transform: { cropScale: [0.2, 1], hue: 0.1, rotationDegrees: null },
    background: [0, 0, 0],
    dropLast: false,
    optimizer: 'sgd',
    nesterov: true,
    validation: 0.25,
  })
})

test('a folder whose name is a number is a folder where no number is allowed', async (t) => {
  t.like(await configOf('2024', '--out', '7'), { data: '2024', out: '7' })
})

test('flags win over the file, field by field', async (t) => {
  const file = join(await temporaryFolder(t), 'config.json')
  const settings = { data: 'a/', epochs: 3, transform: { hue: 0.1, blur: 0.5 } }
  await writeFile(file, JSON.stringify(settings))
  const config = await configOf('--config', file, '--out', 'b', '--transform.hue', '0.2')
  t.like(config, { data: 'a/', out: 'b', epochs: 3, transform: { hue: 0.2, blur: 0.5 } })
})

test("a run's config.json is such a file", async (t) => {
  const file = join(await temporaryFolder(t), 'config.json')
  const record = {
    format: 1,
    versions: { nnclr: '1' },
    config: { data: 'a/', out: 'old', epochs: 3 },
  }
  await writeFile(file, JSON.stringify(record))
  t.like(await configOf('--config', file, '--out', 'new'), { data: 'a/', out: 'new', epochs: 3 })
})

test('a file that is no JSON is a usage error with its name', async (t) => {
  const file = join(await temporaryFolder(t), 'config.json')
  await writeFile(file, '{ "epochs": 3, }')
  const { code, stderr } = await nnclr(['train', '--config', file])
  t.is(code, 2)
  t.true(stderr.includes(file))
})

test('all mistakes are told together, without a stack', async (t) => {
  const { code, stdout, stderr } = await nnclr([
    'train',
    '--epoch',
    '3',
    '--lr',
    'fast',
    '--crop-scale',
    '1',
    '--batch-size',
    '1',
    '--out',
    '--resume',
  ])
  t.is(code, 2)
  t.is(stdout, '')
  t.is(
    stderr,
    `error CONFIG: 6 problems
  --epoch: got an unknown flag, expected a flag of --help (did you mean '--epochs'?)
  --crop-scale: got an unknown flag, expected a flag of --help (did you mean '--transform.crop-scale'?)
  --out: got the flag --resume, expected a value
  --lr: got 'fast', expected a number above 0 to 1000, or 'auto'
  --batch-size: got 1, expected a whole number from 2 to 1048576, or 'auto'
  --data: got nothing, expected a folder, a data set, or an array of paths or { path | bytes, label? }, not empty
`,
  )
})

test('negative numbers are values, not flags', async (t) => {
  const { stderr } = await nnclr(['train', 'a', '--out', 'b', '--lr', '-1'])
  t.regex(stderr, /--lr: got -1, expected a number above 0/)
})

test('an unknown command names the known ones', async (t) => {
  const { code, stderr } = await nnclr(['trein'])
  t.is(code, 2)
  t.regex(
    stderr,
    /command: got 'trein', expected train \| knn \| embed \| launch \| info \| cuda \(did you mean 'train'\?\)/,
  )
})

test('no command at all shows the help on standard error', async (t) => {
  const { code, stdout, stderr } = await nnclr([])
  t.is(code, 2)
  t.is(stdout, '')
  t.regex(stderr, /Usage: nnclr COMMAND/)
})

test('--version', async (t) => {
  t.deepEqual(await nnclr(['--version']), { code: 0, stdout: '1.2.3\n', stderr: '' })
})

test('a failure of the run says code and message; --verbose adds the stack', async (t) => {
  const cause = new Error('the disk said no')
  const train = () => {
    throw new NnclrError('IO', 'runs/first', 'cannot write runs/first', { cause })
  }
  const quiet = await nnclr(['train', 'a', '--out', 'b'], { train })
  t.deepEqual(quiet, { code: 1, stdout: '', stderr: 'error IO: cannot write runs/first\n' })
  const { stderr } = await nnclr(['train', 'a', '--out', 'b', '--verbose'], { train })
  t.regex(stderr, /caused by Error: the disk said no\n\s+at /)
})

test('a problem found by train alone is a usage error too', async (t) => {
  const issue = { field: 'batchSize', value: '512', expected: 'at most 100' }
  const train = () => {
    throw NnclrError.config([issue])
  }
  const { code, stderr } = await nnclr(['train', 'a', '--out', 'b'], { train })
  t.is(code, 2)
  t.is(stderr, 'error CONFIG:\n  --batch-size: got 512, expected at most 100\n')
})

test('--json prints every event as a line and nothing else', async (t) => {
  const { code, stdout, stderr } = await nnclr(
    ['train', 'photos/', '--out', 'runs/first', '--json'],
    {
      train: () => recordedRun(),
    },
  )
  t.is(code, 0)
  t.is(stderr, '')
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string })
  t.deepEqual(
    events.map(({ type }) => type),
    recordedEvents().map(({ type }) => type),
  )
  t.like(events[0], { config: { data: 'photos/', epochs: 2 } })
  t.deepEqual(events.at(-1) as object, { type: 'end', result: RESULT })
})

test('a run that a signal stopped ends with its code', async (t) => {
  for (const [signal, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const listeners = new Map<string, () => void>()
    const exits: number[] = []
    const { watchForStop } = await import('../ts/cli/stop.js')
    const source = {
      on: (name: string, listener: () => void) => listeners.set(name, listener),
      off: (name: string) => listeners.delete(name),
    }
    const { code, stderr } = await nnclr(
      ['train', 'a', '--out', 'b'],
      {
        train: (config) => {
          t.false(config.signal?.aborted)
          listeners.get(signal)?.()
          t.true(config.signal?.aborted)
          t.deepEqual(exits, [])
          listeners.get(signal)?.()
          return recordedRun(recordedEvents({ ...RESULT, stopped: true }))
        },
      },
      fakeTerminal(),
      { watchForStop: (announce) => watchForStop(source, announce, (code) => exits.push(code)) },
    )
    t.is(code, expected)
    t.deepEqual(exits, [expected], 'the second signal ends at once')
    t.true(stderr.startsWith(`${signal}: stopping after this step with a checkpoint`))
    t.is(listeners.size, 0, 'nobody listens any more')
  }
})

test('training stops with a checkpoint when the reader has gone', async (t) => {
  let gone = (): void => {}
  const { code } = await nnclr(
    ['train', 'a', '--out', 'b'],
    {
      train: (config) => {
        gone()
        t.true(config.signal?.aborted)
        return recordedRun(recordedEvents({ ...RESULT, stopped: true }))
      },
    },
    fakeTerminal(),
    {
      onBrokenPipe: (callback) => {
        gone = callback
      },
    },
  )
  t.is(code, 141)
})

test('knn hands on its flags and prints the score', async (t) => {
  const counts = { references: 50_000, queries: 10_000 }
  const score = { top1: 0.391, ...counts, k: 20, temperature: 0.1, imageSize: 40 }
  const seen: unknown[] = []
  const knn = async (options: unknown) => {
    seen.push(options)
    return score
  }
  const argv = [
    'knn',
    'photos/train',
    '--validation',
    'photos/test',
    '-c',
    'runs/first',
    '--k',
    '20',
    '--image-size',
    '40',
  ]
  const { code, stdout } = await nnclr(argv, { knn })
  t.is(code, 0)
  t.is(stdout, 'kNN top-1 39.1 % (10,000 pictures against 50,000, k 20, temperature 0.1, 40 px)\n')
  t.like(seen[0], {
    data: 'photos/train',
    validation: 'photos/test',
    checkpoint: 'runs/first',
    k: 20,
    imageSize: 40,
  })
  t.deepEqual(JSON.parse((await nnclr([...argv, '--json'], { knn })).stdout), score)
  await nnclr(argv.slice(0, -2), { knn })
  t.false('imageSize' in Object(seen.at(-1)), 'the size of the training')
  const wrong = await nnclr([...argv, '--image-size', '7'], { knn })
  t.is(wrong.code, 2)
  t.regex(wrong.stderr, /--image-size: got 7, expected a whole number from 8/)
})

test('knn and embed tell what is missing, all of it', async (t) => {
  const knn = await nnclr(['knn', '--k', '0'])
  t.is(knn.code, 2)
  t.regex(knn.stderr, /3 problems\n.*--checkpoint.*\n.*--data.*\n.*--k: got 0/)
  const embed = await nnclr(['embed', 'a', '-c', 'b', '--out', 'features.parquet'])
  t.is(embed.code, 2)
  t.regex(
    embed.stderr,
    /--out: got 'features.parquet', expected a file ending in .npy, .jsonl, .csv/,
  )
})

test('info shows what a bug report needs', async (t) => {
  const systemInfo = async () => ({
    version: '1.2.3',
    torch: '2.13.0',
    node: '20.20.2',
    addon: { path: '/app/addon.node', package: '@nnclr/linux-x64-gnu@1.2.3' },
    libtorch: '/app/libtorch_cpu.so',
    libc: 'glibc 2.36',
    platform: 'linux-x64',
    system: 'Linux 6.1.0',
    memory: 8 * 2 ** 30,
    processor: 'Some CPU',
    cpu: ['avx', 'avx2'],
    threads: 2,
    cuda: {
      available: false,
      devices: 0,
      reason: 'no plug-in was found',
      state: 'no-plugin' as const,
      folder: null,
      driver: null,
    },
  })
  const { code, stdout } = await nnclr(['info'], { systemInfo })
  t.is(code, 0)
  const words = ['2.13.0', 'linux-x64', 'avx2', 'no: no plug-in was found']
  const places = ['@nnclr/linux-x64-gnu@1.2.3', '/app/libtorch_cpu.so', 'glibc 2.36', '8 GiB']
  for (const word of [...words, ...places]) {
    t.true(stdout.includes(word), word)
  }
  t.deepEqual(
    JSON.parse((await nnclr(['info', '--json'], { systemInfo })).stdout),
    await systemInfo(),
  )
})
