/** Server-sent events: numbered, resumable by Last-Event-ID, and ended with the run. */

import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { EventLog } from './event-log.js'
import { Problem } from './problem.js'

/** Proxies cut silent connections. */
const HEARTBEAT_MS = 15_000
/** A reader this far behind is cut off; it comes back by itself and resumes. */
const MOST_UNSENT_BYTES = 2 ** 20

/** Streams a log to a client from where it was. */
export function streamEvents(log: EventLog, request: FastifyRequest, reply: FastifyReply): void {
  let last = lastEventId(request)
  const { raw } = reply
  reply.hijack()
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  // How long a cut-off reader waits before it comes back.
  raw.write('retry: 1000\n\n')
  const send = (): void => {
    for (const { id, type, json } of log.after(last)) {
      raw.write(`id: ${id}\nevent: ${type}\ndata: ${json}\n\n`)
      last = id
    }
    if (log.isOver) raw.end()
    else if (raw.writableLength > MOST_UNSENT_BYTES) raw.destroy()
  }
  const stopListening = log.listen(send)
  const heartbeat = setInterval(() => raw.write(': still here\n\n'), HEARTBEAT_MS).unref()
  raw.on('close', () => {
    stopListening()
    clearInterval(heartbeat)
  })
  // A reader that went away is no failure of the server.
  raw.on('error', () => endQuietly(raw))
  send()
}

function endQuietly(response: ServerResponse): void {
  response.destroy()
}

/** The number of the last event that the client has; 0 for all. */
function lastEventId({ headers }: FastifyRequest): number {
  const given = headers['last-event-id']
  if (given === undefined || given === '') return 0
  const id = Number(given)
  if (Number.isSafeInteger(id) && id >= 0) return id
  throw new Problem(400, 'LAST_EVENT_ID', 'Last-Event-ID is a whole number, as the stream gave it')
}
