/** Surroundings for commands under test: what was written, and an api that is not the real one. */

import type { Api } from '../ts/cli/api.js'
import type { Surroundings } from '../ts/cli/command.js'
import { main } from '../ts/cli/main.js'
import { type StopWatch, watchForStop } from '../ts/cli/stop.js'
import type { Terminal } from '../ts/cli/terminal.js'

/** A terminal that remembers. */
export interface FakeTerminal extends Terminal {
  stdout: string
  stderr: string
  /** Milliseconds that have passed. */
  time: number
}

/** A terminal, not interactive unless told. */
export function fakeTerminal(interactive = false, columns = 120): FakeTerminal {
  const terminal: FakeTerminal = {
    stdout: '',
    stderr: '',
    time: 0,
    interactive,
    columns: () => columns,
    now: () => terminal.time,
    out: (text) => {
      terminal.stdout += text
    },
    err: (text) => {
      terminal.stderr += text
    },
  }
  return terminal
}

/** What a command left. */
export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the program with these functions of the api; any other one is an error. */
export async function nnclr(
  argv: readonly string[],
  api: Partial<Api> = {},
  terminal: FakeTerminal = fakeTerminal(),
  around: Partial<Surroundings> = {},
): Promise<Outcome> {
  const code = await main(argv, '1.2.3', {
    terminal,
    loadApi: async () => api as Api,
    watchForStop: (announce) => quietWatch(announce),
    onBrokenPipe: () => {},
    ...around,
  })
  return { code, stdout: terminal.stdout, stderr: terminal.stderr }
}

function quietWatch(announce: (name: string) => void): StopWatch {
  return watchForStop({ on: () => {}, off: () => {} }, announce, () => {})
}
