/** A child process by Node's `fork`, with structured clones as messages. */

import { type ChildProcess, fork, type Serializable } from 'node:child_process'
import type { ToChild, ToParent } from './messages.js'
import type { ChildHandle, ChildRequest, Transport } from './transport.js'

/** Flags that would run another program, end at once, or contend for the inspector's port. */
const UNFIT =
  /^(-[epcih]|-pe|--(eval|print|check|interactive|help|version|input-type|inspect|debug-port|watch|test|build-snapshot|run)\b.*)$/
/** Of these, the ones whose value may be the next word. */
const WITH_VALUE =
  /^(-e|-p|-pe|--eval|--print|--input-type|--inspect-port|--debug-port|--watch-path|--run)$/

/** Events after which nothing more comes; the last two may come before the first or after it. */
const LAST = ['exit', 'disconnect', 'close'] as const
/** A grandchild may hold the streams open: so long they are waited for, in ms. */
const STREAMS_MS = 1000

/** Node's `fork`. */
export function nodeTransport(): Transport {
  return { execArgv: fittingFlags(process.execArgv), start }
}

/** Node's flags that are as good for another program. */
export function fittingFlags(execArgv: readonly string[]): string[] {
  const isValue = (i: number): boolean => WITH_VALUE.test(execArgv[i - 1] ?? '')
  return execArgv.filter((flag, i) => !UNFIT.test(flag) && !isValue(i))
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
