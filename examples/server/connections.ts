/**
 * Which connections are in the middle of a request. Node closes those that wait for their next one;
 * those that were opened and never used it keeps until a timeout of a minute.
 */

import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** How often a closing server looks for connections that are done. */
const SWEEP_MS = 50

/** Watches a server's connections; the returned function lets it close in order. */
export function watchConnections(server: Server): () => void {
  const open = new Set<Socket>()
  const busy = new Set<Socket>()
  server.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  server.on('request', ({ socket }, response) => {
    busy.add(socket)
    response.once('close', () => busy.delete(socket))
  })
  return () => {
    const sweep = setInterval(() => {
      for (const socket of open) if (!busy.has(socket)) socket.destroy()
    }, SWEEP_MS)
    server.once('close', () => clearInterval(sweep))
  }
}
