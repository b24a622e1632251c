/** A child process by Node's `fork`, with structured clones as messages. */

import { type ChildProcess, fork, type Serializable } from 'node:child_process'
import type { ToChild, ToParent } from './messages.js'
import { STREAMS_MS } from './output.js'
import type { ChildHandle, ChildRequest, Transport } from './transport.js'

/** Flags that would run another program, end at once, or contend for the inspector's port. */
const UNFIT =
  /^(-[epcih]|-pe|--(eval|print|check|interactive|help|version|input-type|inspect|debug-port|watch|test|build-snapshot|run)\b.*)$/

/** Events after which nothing more comes; the last two may come before the first or after it. */
const LAST = ['exit', 'disconnect', 'close'] as const

/** Node's `fork`. */
export function nodeTransport(): Transport {
  return { execArgv: fittingFlags(process.execArgv), start }
}

/** Node's flags that are as good for another program. */
export function fittingFlags(execArgv: readonly string[]): string[] {
  let isUnfit = false
  return execArgv.filter((word) => {
    // A word without a dash is the value of the flag before it, and goes with it.
    if (word.startsWith('-')) isUnfit = UNFIT.test(word)
    return !isUnfit
  })
}

async function start(request: ChildRequest): Promise<ChildHandle> {
  const { entry, execArgv, env } = request
  const child = fork(entry, [], {
    execArgv: [...execArgv],
    env,
    // Nothing to read: a child that shares the terminal's input would take its keys.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    serialization: 'advanced',
  })
  child.on('message', (message) => request.onMessage(message as unknown as ToParent))
  for (const stream of ['stdout', 'stderr'] as const) {
    const on = child[stream]?.setEncoding('utf8')
    on?.on('data', (text: string) => request.onOutput(text, stream))
  }
  tellExit(child, request)
  return {
    pid: child.pid ?? null,
    send: (message) => send(child, message),
    kill: () => void child.kill('SIGKILL'),
  }
}

function tellExit(child: ChildProcess, { onExit }: ChildRequest): void {
  const missing = new Set<string>(LAST)
  let isTold = false
  const tell = (failure?: unknown): void => {
    if (isTold) return
    isTold = true
    onExit({ code: child.exitCode, signal: child.signalCode, failure })
  }
  for (const event of LAST) {
    child.once(event, () => {
      missing.delete(event)
      // Later than the messages of the same turn.
      if (missing.size === 0) setImmediate(tell)
      else if (event === 'exit') setTimeout(tell, STREAMS_MS).unref()
    })
  }
  // Failed sends come here too, of a child that began; its exit tells more.
  child.on('error', (error) => child.pid === undefined && tell(error))
}

function send(child: ChildProcess, message: ToChild): Promise<void> {
  return new Promise((resolve) => {
    if (child.connected) child.send(message as unknown as Serializable, () => resolve())
    else resolve()
  })
}
