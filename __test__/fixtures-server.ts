/** The example server as a process of its own, and what its clients say. */

import { type ChildProcess, spawn } from 'node:child_process'
import { request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { crc32, deflateSync } from 'node:zlib'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PROGRAM = ['--import=@oxc-node/core/register', 'examples/server/main.ts']

/** A token that a test may know. */
export const TOKEN = 'a-token-for-tests-0123456789'

/** How a process ended. */
export interface ServerEnd {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A server under way. */
export interface Server {
  readonly url: string
  readonly process: ChildProcess
  readonly ended: Promise<ServerEnd>
}

/** Starts the program; resolves at once, listening or not. */
export function spawnServer(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): { process: ChildProcess; ended: Promise<ServerEnd>; listening: Promise<string> } {
  const { NNCLR_TOKEN: _, ...inherited } = process.env
  const child = spawn(process.execPath, [...PROGRAM, ...argv], {
    cwd: ROOT,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = new Promise<ServerEnd>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
  const listening = new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      const url = /listening on (\S+)/.exec(stdout)?.[1]
      if (url !== undefined) resolve(url)
    })
    void ended.then(() => reject(new Error(`the server ended: ${stderr}`)))
  })
  listening.catch(() => {})
  return { process: child, ended, listening }
}

/** A server that listens, with the test's token. */
export async function startServer(...argv: string[]): Promise<Server> {
  const words = ['--port', '0', ...argv]
  const { process: child, ended, listening } = spawnServer(words, { NNCLR_TOKEN: TOKEN })
  return { url: await listening, process: child, ended }
}

/** An answer. */
export interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** A request with the token; an object goes as JSON, bytes as they are. */
export async function ask(
  { url }: Server,
  method: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const isBytes = body instanceof Uint8Array
  const type = isBytes ? 'application/octet-stream' : 'application/json'
  const response = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      ...(body === undefined || body instanceof FormData ? {} : { 'content-type': type }),
      ...headers,
    },
    ...(body === undefined
      ? {}
      : { body: isBytes || body instanceof FormData ? body : JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

/** Sends many zero bytes and reads the answer whenever it comes. */
export function sendZeros(
  { url }: Server,
  path: string,
  bytes: number,
  type: string,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${TOKEN}`,
      'content-type': type,
      'content-length': bytes,
    }
    const sending = request(url + path, { method: 'POST', headers }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
      sending.destroy()
    })
    sending.on('error', reject)
    const chunk = Buffer.alloc(2 ** 20)
    let sent = 0
    const write = (): void => {
      while (sent < bytes) {
        const part = chunk.subarray(0, Math.min(chunk.length, bytes - sent))
        sent += part.length
        if (!sending.write(part)) return void sending.once('drain', write)
      }
      sending.end()
    }
    write()
  })
}

/** One server-sent event. */
export interface Told {
  readonly id: number
  readonly event: string
  readonly data: Record<string, unknown>
}

/** Reads a run's events from after `last`, until `enough` or the stream's end. */
export async function readEvents(
  { url }: Server,
  id: string,
  last: number,
  enough: (told: readonly Told[]) => boolean = () => false,
): Promise<Told[]> {
  const told: Told[] = []
  const cut = new AbortController()
  const response = await fetch(`${url}/runs/${id}/events`, {
    headers: {
      authorization: `Bearer ${TOKEN}`,
      ...(last > 0 ? { 'last-event-id': String(last) } : {}),
    },
    signal: cut.signal,
  })
  const text = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())
  let rest = ''
  try {
    for await (const part of text) {
      const blocks = (rest + part).split('\n\n')
      rest = blocks.pop() ?? ''
      told.push(...blocks.flatMap(eventOf))
      if (enough(told)) break
    }
  } finally {
    cut.abort()
  }
  return told
}

/** The event of a block; comments and the retry time are none. */
function eventOf(block: string): Told[] {
  const [, id, event, data] = /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(block) ?? []
  if (event === undefined || data === undefined) return []
  return [{ id: Number(id), event, data: JSON.parse(data) }]
}

/** A PNG that says it is 50,000 pixels wide and high, and unpacks to 10 MB of zeros. */
export function bomb(): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const framed = Buffer.alloc(data.length + 12)
    framed.writeUInt32BE(data.length, 0)
    framed.write(type, 4, 'latin1')
    data.copy(framed, 8)
    framed.writeUInt32BE(crc32(framed.subarray(4, 8 + data.length)), 8 + data.length)
    return framed
  }
  const header = Buffer.from([0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 8, 2, 0, 0, 0])
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(10_000_000))),
    chunk('IEND', Buffer.alloc(0)),
  ])
}
