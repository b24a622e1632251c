#!/usr/bin/env node
/** The program `nnclr`: this process as the commands see it. */

import { createRequire } from 'node:module'
import { main } from './cli/main.js'
import { watchForStop } from './cli/stop.js'
import { EXIT, processTerminal } from './cli/terminal.js'

const { version } = createRequire(import.meta.url)('../package.json') as { version: string }

/** Training leaves a checkpoint first; any other command has nothing left to do. */
let onBrokenPipe = (): void => process.exit(EXIT.ok)

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  onBrokenPipe()
})

process.exitCode = await main(process.argv.slice(2), version, {
  terminal: processTerminal(),
  // Help and mistakes are told without loading libtorch.
  loadApi: () => import('./index.js'),
  watchForStop: (announce) => watchForStop(process, announce, (code) => process.exit(code)),
  onBrokenPipe: (callback) => {
    onBrokenPipe = callback
  },
})
