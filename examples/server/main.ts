/** The program: options, listening, and an orderly end at SIGTERM or SIGINT. */

import { readOptions, type ServerOptions, USAGE } from './options.js'
import { makeServer } from './server.js'

const WRONG_USAGE = 2

function optionsOrExit(): ServerOptions {
  try {
    return readOptions(process.argv.slice(2), process.env)
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    process.exit(WRONG_USAGE)
  }
}

const options = optionsOrExit()
const app = await makeServer(options)
let isStopping = false

/** The first signal ends it in order, the second at once. */
async function stop(): Promise<void> {
  if (isStopping) process.exit(1)
  isStopping = true
  console.log('stopping: runs leave a checkpoint, connections finish')
  await app.close()
  process.exit(0)
}

process.on('SIGTERM', () => void stop())
process.on('SIGINT', () => void stop())
console.log(`listening on ${await app.listen({ host: options.host, port: options.port })}`)
