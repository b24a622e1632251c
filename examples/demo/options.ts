/** The words after `npm run demo --`. */

import { parseArgs } from 'node:util'

/** What the demo is asked to do. */
export interface DemoOptions {
  /** A folder of pictures instead of the emoji. */
  readonly data: string | null
  /** Time for training, seconds. */
  readonly seconds: number
  /** Exactly so many epochs instead, for a run that can be repeated elsewhere; null: by time. */
  readonly epochs: number | null
  /** Run directory. */
  readonly out: string
  readonly seed: number
  /** Side of a view, pixels. */
  readonly size: number
}

/** Text of `--help`. */
export const HELP = `Examples:
  npm run demo                              # emoji: do two vendors' drawings of one thing look alike?
  npm run demo -- --data photos/            # the same for your own pictures

Trains NNCLR without labels, says what it learned, and writes report.html into the run directory.

  --data DIR     your own pictures; sub-folders count as classes, for the score only
  --seconds N    time for training                                  [10 up; default 150]
  --epochs N     so many epochs instead: the same result on any machine
  --out DIR      run directory; an earlier demo there is replaced   [default runs/demo]
  --seed N       seed of everything random                          [default 0]
  --size N       side of a view in pixels                           [32 to 256; default 32]
`

/** The options, or what is wrong with them. */
export function readOptions(argv: readonly string[]): DemoOptions | 'help' | { problem: string } {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        data: { type: 'string' },
        seconds: { type: 'string', default: '150' },
        epochs: { type: 'string' },
        out: { type: 'string', default: 'runs/demo' },
        seed: { type: 'string', default: '0' },
        size: { type: 'string', default: '32' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) return 'help'
    return {
      data: values.data ?? null,
      out: values.out,
      seconds: whole('--seconds', values.seconds, 10, 86_400),
      epochs: values.epochs === undefined ? null : whole('--epochs', values.epochs, 1, 1_000_000),
      seed: whole('--seed', values.seed, 0, Number.MAX_SAFE_INTEGER),
      size: whole('--size', values.size, 32, 256),
    }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least && value <= most)
    return value
  throw new RangeError(`${name}: got '${text}', expected a whole number from ${least} to ${most}`)
}
