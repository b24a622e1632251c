/** The words after `npm run bench --`. */

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'

/** What the benchmark is asked to do. */
export interface BenchOptions {
  /** Measures and families; none means all that run unasked. */
  readonly names: readonly string[]
  /** Runs of each side. */
  readonly repeats: number
  readonly size: 'quick' | 'normal' | 'full'
  /** Folder of CIFAR-10 as picture files; null: generated pictures. */
  readonly cifar: string | null
  /** Folder of photographs; null: generated pictures. */
  readonly photos: string | null
  readonly threads: number
  /** Folder of the results. */
  readonly out: string
}

/** Text of `--help`, with the measures. */
export function help(measures: readonly string[]): string {
  return `Examples:
  npm run bench                             # all but those marked *
  npm run bench -- epoch bank --repeats 5   # these two
  npm run bench -- growth                   # how speed changes with workers, batch, bank, set
  npm run bench -- --quick                  # does it run? its numbers say nothing

Runs nnclr and the reference (bench/peer) in turn on the same pictures and prints how many times
better nnclr is: the median over neighbouring runs, with the least and the most.

Measures:
${measures.map((line) => `  ${line}`).join('\n')}

  --repeats N    runs of each side                               [1 to 100; default 3, quick 1]
  --quick        the smallest sizes
  --full         whole epochs of 50,000 pictures
  --cifar DIR    CIFAR-10 as picture files   [default NNCLR_BENCH_CIFAR, else generated pictures]
  --photos DIR   photographs                 [default NNCLR_BENCH_PHOTOS, else generated pictures]
  --threads N    threads that compute, of both programs          [1 to 1024; default one a core]
  --out DIR      where the results go                            [default bench/out]
`
}

/** The options, or what is wrong with them. `known` are the words that select measures. */
export function readOptions(
  argv: readonly string[],
  known: ReadonlySet<string>,
  env: Readonly<Record<string, string | undefined>> = process.env,
): BenchOptions | 'help' | { problem: string } {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        repeats: { type: 'string' },
        quick: { type: 'boolean', default: false },
        full: { type: 'boolean', default: false },
        cifar: { type: 'string' },
        photos: { type: 'string' },
        threads: { type: 'string' },
        out: { type: 'string', default: 'bench/out' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) return 'help'
    const unknown = positionals.find((name) => !known.has(name))
    if (unknown !== undefined) {
      throw new RangeError(`no measure is called '${unknown}'; known: ${[...known].join(', ')}`)
    }
    if (values.quick && values.full) throw new RangeError('--quick and --full contradict')
    return {
      names: positionals,
      repeats: whole('--repeats', values.repeats ?? (values.quick ? '1' : '3'), 1, 100),
      size: sizeOf(values),
      cifar: values.cifar ?? env['NNCLR_BENCH_CIFAR'] ?? null,
      photos: values.photos ?? env['NNCLR_BENCH_PHOTOS'] ?? null,
      threads:
        values.threads === undefined
          ? availableParallelism()
          : whole('--threads', values.threads, 1, 1024),
      out: values.out,
    }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}

function sizeOf({ quick, full }: { quick: boolean; full: boolean }): BenchOptions['size'] {
  if (quick) return 'quick'
  return full ? 'full' : 'normal'
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least && value <= most)
    return value
  throw new RangeError(`${name}: got '${text}', expected a whole number from ${least} to ${most}`)
}
