/** Server-sent events: numbered, resumable by Last-Event-ID, and ended with the run. */

import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { EventLog } from './event-log.js'
import { Problem } from './problem.js'

/** Proxies cut silent connections. */
const HEARTBEAT_MS = 15_000
/** A reader that takes nothing for so long is cut off; it comes back by itself and resumes. */
const PATIENCE_MS = 30_000

/** Streams a log to a client from where it was, as fast as the client reads. */
export function streamEvents(
  log: EventLog,
  request: FastifyRequest,
  reply: FastifyReply,
  patienceMs: number = PATIENCE_MS,
): void {
  const last = lastEventId(request)
  if (log.isForgotten) {
    throw new Problem(410, 'FORGOTTEN', 'the events of this run are no longer kept')
  }
  reply.hijack()
  const { raw } = reply
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  const reader = new Reader(log, raw, last, patienceMs)
  const stopListening = log.listen(() => reader.send())
  const heartbeat = setInterval(() => reader.beat(), HEARTBEAT_MS).unref()
  raw.on('close', () => {
    reader.close()
    stopListening()
    clearInterval(heartbeat)
  })
  // A reader that went away is no failure of the server.
  raw.on('error', () => raw.destroy())
  // How long a cut-off reader waits before it comes back.
  raw.write('retry: 1000\n\n')
  reader.send()
}

/** One client: what it has of a log, and whether it is ready for more. */
class Reader {
  readonly #log: EventLog
  readonly #raw: ServerResponse
  readonly #patienceMs: number
  #last: number
  /** Runs while the connection is full. */
  #patience: NodeJS.Timeout | null = null

  constructor(log: EventLog, raw: ServerResponse, last: number, patienceMs: number) {
    this.#log = log
    this.#raw = raw
    this.#last = last
    this.#patienceMs = patienceMs
  }

  /** Sends what is new until the connection is full, and goes on when it has room again. */
  send(): void {
    if (this.#patience !== null) return
    for (const { id, type, json } of this.#log.after(this.#last)) {
      this.#last = id
      if (!this.#raw.write(`id: ${id}\nevent: ${type}\ndata: ${json}\n\n`)) {
        this.#wait()
        this.#raw.once('drain', () => this.#goOn())
        return
      }
    }
    if (!this.#log.isOver) return
    this.#wait()
    this.#raw.end()
  }

  /** Something for proxies to see, where nothing else is on its way. */
  beat(): void {
    if (this.#patience === null) this.#raw.write(': still here\n\n')
  }

  /** The connection is gone. */
  close(): void {
    clearTimeout(this.#patience ?? undefined)
  }

  #wait(): void {
    this.#patience = setTimeout(() => this.#raw.destroy(), this.#patienceMs)
  }

  #goOn(): void {
    this.close()
    this.#patience = null
    this.send()
  }
}

/** The number of the last event that the client has; 0 for all. */
function lastEventId({ headers }: FastifyRequest): number {
  const given = headers['last-event-id']
  if (given === undefined || given === '') return 0
  const id = Number(given)
  if (Number.isSafeInteger(id) && id >= 0) return id
  throw new Problem(400, 'LAST_EVENT_ID', 'Last-Event-ID is a whole number, as the stream gave it')
}
