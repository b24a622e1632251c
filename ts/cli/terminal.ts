/** What a command may do to the world around it; tests hand in their own. */

/** Where a command writes and what it knows about its reader. */
export interface Terminal {
  /** Writes to standard output. */
  out(text: string): void
  /** Writes to standard error. */
  err(text: string): void
  /** Whether standard output is a terminal whose last line can be rewritten. */
  readonly interactive: boolean
  /** Width of the terminal in characters, asked anew for each line. */
  columns(): number
  /** Milliseconds since any fixed moment. */
  now(): number
}

/** Exit codes of every command, as `--help` documents them. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  /** 128 + SIGINT. */
  interrupted: 130,
  /** 128 + SIGPIPE: the reader of standard output went away during training. */
  brokenPipe: 141,
  /** 128 + SIGTERM. */
  terminated: 143,
} as const

/** The terminal of this process. */
export function processTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    interactive: process.stdout.isTTY === true && process.env['TERM'] !== 'dumb',
    columns: () => process.stdout.columns ?? 80,
    now: () => performance.now(),
  }
}
