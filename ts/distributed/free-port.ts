/** A TCP port for the ranks of one machine. */

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/**
 * A port that is free at this moment. The system does not give the same one again soon, so that it is
 * still free when a rank opens it.
 */
export async function freePort(host: string): Promise<number> {
  const server = createServer()
  server.listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
