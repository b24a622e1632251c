/** What the server is started with: flags, and the token from the environment. */

import { parseArgs } from 'node:util'

/** Settings of a server. */
export interface ServerOptions {
  /** Pictures are read from here and nowhere else. */
  readonly root: string
  /** Run directories are made here. */
  readonly runs: string
  /** What /embed and /search use unless a run is named: checkpoint file or run directory. */
  readonly checkpoint: string | null
  /** The bearer token; null serves everybody. */
  readonly token: string | null
  readonly host: string
  readonly port: number
  /** Largest upload, bytes. */
  readonly maxUpload: number
  /** Most pixels of an uploaded picture. */
  readonly maxPixels: number
  /** Uploads under way at the same time. */
  readonly maxUploads: number
  /** Runs that train at the same time. */
  readonly maxRunning: number
  /** Most resident memory of a training, MiB; null is no limit. */
  readonly memoryLimit: number | null
}

export const USAGE = `Usage: node main.ts --root DIR [flags]

  --root DIR         pictures are read from here and nowhere else
  --runs DIR         run directories are made here [runs]
  --checkpoint PATH  what /embed and /search use unless a run is named
  --host NAME        [127.0.0.1]
  --port N           [8080]
  --max-upload N     largest upload, bytes [20971520]
  --max-uploads N    uploads under way at the same time; more get 503 [64]
  --max-running N    runs that train at the same time [1]
  --memory-limit N   most resident memory of a training, MiB; one above it fails [none]
  --insecure         serve everybody, without a token

The token is read from NNCLR_TOKEN, at least 16 characters.
`

/** Enough that it cannot be tried out. */
const SHORTEST_TOKEN = 16
const LARGEST_PORT = 65_535
/** MiB; Node and libtorch alone need several times this much. */
const LEAST_MEMORY = 64

/** Reads flags and environment. @throws Error with the words for the user */
export function readOptions(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ServerOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      root: { type: 'string' },
      runs: { type: 'string', default: 'runs' },
      checkpoint: { type: 'string' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '8080' },
      'max-upload': { type: 'string', default: String(20 * 2 ** 20) },
      'max-uploads': { type: 'string', default: '64' },
      'max-running': { type: 'string', default: '1' },
      'memory-limit': { type: 'string' },
      insecure: { type: 'boolean', default: false },
    },
  })
  if (values.root === undefined) throw new Error('--root is missing')
  return {
    root: values.root,
    runs: values.runs,
    checkpoint: values.checkpoint ?? null,
    token: tokenOf(env['NNCLR_TOKEN'], values.insecure),
    host: values.host,
    port: whole('--port', values.port, 0, LARGEST_PORT),
    maxUpload: whole('--max-upload', values['max-upload'], 1, 2 ** 30),
    maxPixels: 50_000_000,
    maxUploads: whole('--max-uploads', values['max-uploads'], 1, 10_000),
    maxRunning: whole('--max-running', values['max-running'], 1, 64),
    memoryLimit:
      values['memory-limit'] === undefined
        ? null
        : whole('--memory-limit', values['memory-limit'], LEAST_MEMORY, 2 ** 24),
  }
}

function tokenOf(token: string | undefined, isInsecure: boolean): string | null {
  if (isInsecure) return null
  if (token === undefined) {
    throw new Error('NNCLR_TOKEN is not set: set it, or say --insecure to serve everybody')
  }
  if (token.length < SHORTEST_TOKEN) {
    throw new Error(
      `NNCLR_TOKEN has ${token.length} characters, at least ${SHORTEST_TOKEN} are needed`,
    )
  }
  return token
}

function whole(flag: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value
  throw new Error(`${flag}: got '${text}', expected a whole number from ${least} to ${most}`)
}
