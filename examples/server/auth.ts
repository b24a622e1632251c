/** Bearer tokens. */

import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { Problem } from './problem.js'

/** What everybody may ask for: liveness probes and generators of clients have no token. */
const OPEN: ReadonlySet<string> = new Set(['/healthz', '/openapi.json'])

/** Refuses every request without the token, before anything of its body is read. */
export function requireToken(app: FastifyInstance, token: string): void {
  const expected = digest(token)
  app.addHook('onRequest', async (request, reply) => {
    if (OPEN.has(request.routeOptions.url ?? '')) return
    const given = /^Bearer ([^\s]+)$/i.exec(request.headers.authorization ?? '')?.[1]
    // Digests have one length, and equal ones take as long to compare as different ones.
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return
    void reply.header('www-authenticate', 'Bearer')
    throw new Problem(401, 'TOKEN', 'a bearer token is needed')
  })
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
