import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { caseResult, runMeasure } from '../bench/campaign.js'
import { busyNotes, flagsIn, hasBf16 } from '../bench/machine.js'
import type { Case, Context, Measure, Side } from '../bench/measure.js'
import { KNOWN, MEASURES, measureLines, selected } from '../bench/measures.js'
import { readOptions } from '../bench/options.js'
import { differences } from '../bench/peer.js'
import { evenly, Pictures } from '../bench/pictures.js'
import { groupIn, MemoryWatch, pssIn } from '../bench/process-memory.js'
import { type BenchReport, markdown } from '../bench/report.js'
import { commandOf, numbersIn } from '../bench/run-side.js'
import { figure, median, neighbourRatios, spreadOf } from '../bench/statistics.js'
import { temporaryFolder, touch } from './temporary-folder.js'

const BENCH = fileURLToPath(new URL('../bench', import.meta.url))

test('a median lies in the middle, and a spread has its extremes', (t) => {
  t.is(median([3, 1, 10]), 3)
  t.is(median([4, 1, 3, 10]), 3.5)
  t.deepEqual(spreadOf([2, 9, 4]), { median: 4, least: 2, most: 9 })
  t.throws(() => median([]), { instanceOf: RangeError })
})

test('ratios are of runs that followed each other, and say how many times better', (t) => {
  const runs = [
    { side: 'ours', value: 1 },
    { side: 'lightly', value: 3 },
    { side: 'other', value: 100 },
    // The machine slowed down by half: the pairs next to each other hardly notice.
    { side: 'ours', value: 2 },
    { side: 'lightly', value: 6 },
  ]
  t.deepEqual(neighbourRatios(runs, 'ours', 'lightly', 'less'), [3, 1.5, 3])
  t.deepEqual(neighbourRatios(runs, 'ours', 'lightly', 'more'), [1 / 3, 2 / 3, 1 / 3])
  t.deepEqual(neighbourRatios(runs, 'ours', 'other', 'less'), [100, 50])
  t.deepEqual(neighbourRatios(runs.slice(0, 1), 'ours', 'lightly', 'less'), [])
})

test('options are read, flags over the environment, and what is wrong is said', (t) => {
  const env = { NNCLR_BENCH_CIFAR: 'from-env', NNCLR_BENCH_PHOTOS: 'photos-env' }
  const argv = ['bank', 'growth', '--quick', '--cifar', 'cifar', '--threads', '3']
  t.deepEqual(readOptions(argv, KNOWN, env), {
    names: ['bank', 'growth'],
    repeats: 1,
    size: 'quick',
    cifar: 'cifar',
    photos: 'photos-env',
    threads: 3,
    out: 'bench/out',
  })
  t.like(readOptions([], KNOWN, {}), { names: [], repeats: 3, size: 'normal', cifar: null })
  t.like(readOptions(['--full', '--repeats', '7'], KNOWN, {}), { repeats: 7, size: 'full' })
  t.is(readOptions(['--help'], KNOWN, {}), 'help')
  const problem = (...words: string[]): string => {
    const read = readOptions(words, KNOWN, {})
    return typeof read === 'object' && 'problem' in read ? read.problem : ''
  }
  t.regex(problem('bnak'), /no measure is called 'bnak'; known: epoch, .*growth/)
  t.regex(problem('--repeats', '0'), /--repeats: got '0', expected a whole number from 1 to 100/)
  t.regex(problem('--threads', '1.5'), /--threads: got '1.5'/)
  t.regex(problem('--quick', '--full'), /contradict/)
  t.regex(problem('--fast'), /--fast/)
})

test('a word selects a measure or a family, and without words the measures that need no asking run', (t) => {
  const names = (words: string[], bf16: boolean): string[] =>
    selected(words, bf16).map(({ name }) => name)
  t.deepEqual(names(['memory', 'bank'], false), ['bank', 'memory'])
  t.true(names(['growth'], false).every((name) => name.startsWith('growth-')))
  t.is(names(['growth'], false).length, 4)
  t.true(names([], true).includes('epoch-bf16'))
  t.false(names([], false).includes('epoch-bf16'))
  t.false(names([], true).some((name) => name.startsWith('growth')))
  t.is(new Set(MEASURES.map(({ name }) => name)).size, MEASURES.length)
  t.regex(measureLines(false).join('\n'), /^epoch-bf16 +\* only when named: .*no bf16 units/m)
})

test('every side runs a program that is there, ours first', async (t) => {
  for (const { name, of } of await allCases(t)) {
    t.is(of.sides[0]?.name, 'ours', name)
    for (const { program } of of.sides) t.true(existsSync(join(BENCH, program)), program)
  }
})

test('sides that are compared have the same settings', async (t) => {
  for (const { name, of } of await allCases(t)) {
    for (const goal of of.goals) {
      if (!('against' in goal)) continue
      const [ours] = of.sides
      const other = of.sides.find((side) => side.name === goal.against)
      t.truthy(other, `${name}: ${goal.against}`)
      const differing = unlike(ours?.settings ?? {}, other?.settings ?? {})
      t.deepEqual(differing, MAY_DIFFER[`${name} ${goal.against}`] ?? [], name)
      t.is(ours?.isOneCore, other?.isOneCore, name)
    }
  }
})

/** What is meant to differ, beside settings that only one side has. */
const MAY_DIFFER: Record<string, string[]> = {
  'epoch-bf16 lightly, fp32': ['precision'],
  'epoch-resnet50 lightly, fp32': ['precision'],
  'embed PyTorch, eager fp32': ['precision'],
  'views-224-cached lightly': ['decoded'],
  // The same threads in all, one a rank.
  'ranks one process': ['threads'],
}

function unlike(ours: object, theirs: object): string[] {
  const others = new Map(Object.entries(theirs))
  return Object.entries(ours)
    .filter(([key, value]) => {
      return others.has(key) && JSON.stringify(others.get(key)) !== JSON.stringify(value)
    })
    .map(([key]) => key)
}

/** The cases of every measure, quick and normal, for a processor with bf16. */
async function allCases(t: ExecutionContext): Promise<{ name: string; of: Case }[]> {
  const cases: { name: string; of: Case }[] = []
  for (const size of ['quick', 'normal'] as const) {
    const scratch = await temporaryFolder(t)
    const given = { small: null, photographs: null }
    const pictures = new Pictures(scratch, given, async () => {})
    const context: Context = { size, threads: 2, hasBf16: true, pictures, scratch }
    // In full it writes a million files.
    const measures = MEASURES.filter(({ name }) => size === 'quick' || name !== 'growth-set')
    for (const measure of measures) {
      for (const of of await measure.plan(context)) cases.push({ name: measure.name, of })
    }
  }
  return cases
}

const SPEED = { key: 'imagesPerSecond', label: 'speed', unit: 'images/s' }
const side = (name: string): Side => ({ name, program: `${name}.ts`, settings: {} })
const CASE: Case = {
  title: 'two views',
  metric: SPEED,
  better: 'more',
  sides: [side('ours'), side('lightly')],
  goals: [{ against: 'lightly', ratio: 4 }, { atMost: 100 }],
}
const MEASURE: Measure = {
  name: 'views',
  onlyNamed: () => null,
  notes: () => [],
  plan: async () => [CASE],
}

test('sides run in turn, and their runs are summed up', async (t) => {
  const order: string[] = []
  const speeds = [100, 20, 120, 40]
  const run = async ({ name }: Side) => {
    order.push(name)
    return { imagesPerSecond: speeds[order.length - 1] ?? 0 }
  }
  const result = await runMeasure(MEASURE, [CASE], 2, run, () => {})
  t.deepEqual(order, ['ours', 'lightly', 'ours', 'lightly'])
  const [first] = result.cases
  t.deepEqual(first?.sides, {
    ours: { median: 110, least: 100, most: 120 },
    lightly: { median: 30, least: 20, most: 40 },
  })
  t.deepEqual(first?.comparisons, [
    { against: 'lightly', ratio: { median: 5, least: 3, most: 6 }, wanted: 4 },
  ])
  t.is(first?.atMost, 100)
})

test('a program that prints another number than the one measured is a failure', (t) => {
  const runs = [{ side: 'ours', numbers: { seconds: 1 } }]
  t.throws(() => caseResult(CASE, runs), { message: /printed no imagesPerSecond/ })
  t.deepEqual(numbersIn('Starting\n{"seconds": 1.5}\n', 'x.py'), { seconds: 1.5 })
  t.throws(() => numbersIn('Starting\n', 'x.py'), { message: /x.py printed no numbers/ })
  t.throws(() => numbersIn('{"seconds": "fast"}', 'x.py'), { message: /printed no numbers/ })
})

test('tables show medians, extremes and whether the goal is reached', (t) => {
  const numbers = (speed: number) => ({ imagesPerSecond: speed })
  const runs = [
    { side: 'ours', numbers: numbers(12345.6) },
    { side: 'lightly', numbers: numbers(2469.12) },
  ]
  const compared = { name: 'views', family: null, cases: [caseResult(CASE, runs)], failure: null }
  const alone: Case = {
    ...CASE,
    title: '10 files',
    sides: [side('ours')],
    goals: [],
    also: [{ key: 'memory', label: 'memory', unit: 'KiB', scale: 2 ** -10 }],
  }
  const grown = caseResult(alone, [{ side: 'ours', numbers: { ...numbers(7), memory: 4096 } }])
  const growth = { name: 'growth-set', family: 'growth', cases: [grown], failure: null }
  const failed = { name: 'bank', family: null, cases: [], failure: 'no python' }
  const text = markdown({ ...REPORT, measures: [compared, growth, failed] })
  const lines = text.split('\n')
  const row = '| two views | 12,346 images/s (12,346 to 12,346) |'
  t.true(
    lines.includes(`${row} lightly: 2,469 images/s (2,469 to 2,469) | 5 (5 to 5) | ≥ 4 | yes |`),
    text,
  )
  t.true(lines.includes(`${row}  |  | < 100 images/s | no |`), text)
  t.true(lines.includes('|  | speed, images/s | memory, KiB |'), text)
  t.true(lines.includes('| 10 files | 7 (7 to 7) | 4 (4 to 4) |'), text)
  t.true(text.includes('**bank was not measured**: no python'))
  t.true(text.includes('- a note'))
  t.false(text.includes('quick run'))
  const quick = markdown({ ...REPORT, size: 'quick', measures: [compared] })
  t.true(quick.includes('A quick run: its numbers say nothing.'))
  t.false(/\| (yes|no) \|/.test(quick), quick)
})

const REPORT: BenchReport = {
  date: '2026-01-01T00:00:00.000Z',
  minutes: 1,
  command: 'npm run bench',
  size: 'normal',
  repeats: 1,
  threads: 2,
  machine: {
    processor: 'A processor',
    cores: 2,
    memoryGiB: 8,
    flags: ['avx2'],
    system: 'linux x64',
    node: '20.19.0',
    commit: 'abc1234',
    load: 0,
  },
  versions: { torch: '2.13.0' },
  pictures: { small: 'generated', photographs: 'generated' },
  notes: ['a note'],
  measures: [],
}

test('figures are rounded to three places, and no whole number loses any', (t) => {
  t.is(figure(0.012345), '0.0123')
  t.is(figure(98.76), '98.8')
  t.is(figure(999), '999')
  t.is(figure(1431.4), '1,431')
})

test("the machine's flags, load, process groups and memory are read as Linux writes them", (t) => {
  const flags = flagsIn(
    'processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 xyz\nbogomips: 1\n',
  )
  t.deepEqual(flags, ['avx2', 'avx512f', 'avx512_bf16'])
  t.true(hasBf16({ flags }))
  t.false(hasBf16({ flags: ['avx2', 'avx512f'] }))
  t.deepEqual(flagsIn(''), [])
  t.is(busyNotes({ load: 0.1, cores: 2 }).length, 0)
  t.regex(busyNotes({ load: 1.5, cores: 2 })[0] ?? '', /load 1.50 on 2 cores/)
  t.is(groupIn('17 (a name) with) R 1 4242 17 0 -1'), 4242)
  t.is(pssIn('Rss:     900 kB\nPss:     512 kB\nPss_Anon:  9 kB\n'), 512 * 1024)
  t.is(pssIn(''), 0)
})

const onLinux = process.platform === 'linux' ? test : test.skip

onLinux('the memory of a process group is the sum over its processes', async (t) => {
  // What Node itself takes is shared with every other Node; 50 MB each are their own.
  const script =
    "globalThis.held = Buffer.alloc(5e7, 1); setTimeout(() => {}, 60_000); process.stdout.write('.')"
  const both = spawn('sh', ['-c', '"$0" -e "$1" & "$0" -e "$1"', process.execPath, script], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const group = both.pid ?? 0
  t.teardown(() => process.kill(-group))
  let started = 0
  for await (const dots of both.stdout) {
    started += dots.length
    if (started === 2) break
  }
  const whole = await new MemoryWatch(group).stop()
  t.true(whole > 1e8 && whole < 5e8, `${whole} bytes`)
  t.is(await new MemoryWatch(2 ** 30).stop(), 0)
})

test('a core is bound where one is measured, and TypeScript is compiled', (t) => {
  const words = commandOf({ ...side('ours'), isOneCore: true }, { python: 'py' })
  t.deepEqual(words.slice(0, 4), ['taskset', '-c', '0', process.execPath])
  t.regex(words[4] ?? '', /^--import=.*oxc/)
  t.is(words.at(-1), '{}')
  t.is(commandOf({ ...side('x'), program: 'peer/bank.py' }, { python: 'py' })[0], 'py')
})

test('a part of a folder is taken evenly and once, and too few pictures are refused', async (t) => {
  t.deepEqual(evenly(['a', 'b', 'c', 'd', 'e', 'f'], 3, 'x'), ['a', 'c', 'e'])
  t.deepEqual(evenly(['a', 'b', 'c'], 3, 'x'), ['a', 'b', 'c'])
  const root = await temporaryFolder(t)
  const photographs = join(root, 'given')
  await touch(photographs, 'cat/1.jpg', 'cat/2.jpg', 'dog/1.JPEG', 'dog/2.png', 'dog/notes.txt')
  const never = async (): Promise<void> => t.fail('pictures were generated')
  const pictures = new Pictures(root, { small: null, photographs }, never)
  const folder = await pictures.folder('photographs', 2)
  t.true(existsSync(join(folder, 'cat/1.jpg')))
  t.true(existsSync(join(folder, 'dog/1.JPEG')))
  t.false(existsSync(join(folder, 'cat/2.jpg')))
  t.is(await pictures.folder('photographs', 2), folder)
  const problem = { message: /holds 4 JPEG and PNG files, 5 are needed/ }
  await t.throwsAsync(pictures.folder('photographs', 5), problem)
})

test("versions other than the reference's are said", async (t) => {
  const requirements = await readFile(join(BENCH, 'peer/requirements.txt'), 'utf8')
  const pinned = Object.fromEntries(
    [...requirements.matchAll(/^([\w-]+)==(\S+)$/gm)].map(([, name, version]) => [name, version]),
  ) as Record<string, string>
  t.is(pinned['lightly'], '1.6.0')
  t.deepEqual(differences(requirements, { ...pinned, torch: '2.13.0+cpu' }), [])
  t.deepEqual(differences(requirements, { ...pinned, torch: '2.12.0' }), [
    'the reference runs with torch 2.12.0, not 2.13.0',
  ])
})
