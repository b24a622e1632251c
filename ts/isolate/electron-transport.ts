/**
 * A child process by Electron's `utilityProcess`, described here by its shape: nnclr does not depend
 * on Electron.
 */

import { createRequire } from 'node:module'
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ToChild, ToParent } from './messages.js'
import { STREAMS_MS } from './output.js'
import type { ChildHandle, ChildRequest, Transport } from './transport.js'

/** What is used of Electron's `UtilityProcess`. */
export interface UtilityProcessLike {
  readonly pid?: number | undefined
  readonly stdout: NodeJS.ReadableStream | null
  readonly stderr: NodeJS.ReadableStream | null
  postMessage(message: unknown): void
  kill(): boolean
  on(event: 'message', listener: (message: unknown) => void): unknown
  once(event: 'spawn', listener: () => void): unknown
  once(event: 'exit', listener: (code: number) => void): unknown
}

/** What is used of the module `electron` in the main process. */
export interface ElectronLike {
  readonly app: { whenReady(): Promise<unknown> }
  readonly utilityProcess: {
    fork(
      modulePath: string,
      args: string[],
      options: {
        env: NodeJS.ProcessEnv
        execArgv: string[]
        cwd: string
        stdio: ('ignore' | 'pipe')[]
        serviceName: string
      },
    ): UtilityProcessLike
  }
}

/** Electron, when this is its main process, where alone utility processes can be made. */
export function ownElectron(): ElectronLike | null {
  const { type, versions } = process as NodeJS.Process & { readonly type?: string }
  if (versions['electron'] === undefined || type !== 'browser') return null
  return createRequire(import.meta.url)('electron') as ElectronLike
}

/** Electron's utility processes. */
export function electronTransport({ app, utilityProcess }: ElectronLike): Transport {
  return {
    execArgv: [],
    start: async (request) => {
      await app.whenReady()
      const { entry, env, execArgv } = request
      const child = utilityProcess.fork(entry, [], {
        env,
        execArgv: [...execArgv],
        cwd: process.cwd(),
        stdio: ['ignore', 'pipe', 'pipe'],
        serviceName: 'nnclr',
      })
      return handleOf(child, request)
    },
  }
}

function handleOf(child: UtilityProcessLike, request: ChildRequest): Promise<ChildHandle> {
  child.on('message', (message) => request.onMessage(message as ToParent))
  const toTheirEnds = (['stdout', 'stderr'] as const).map((name) =>
    readText(child[name], (text) => request.onOutput(text, name)),
  )
  return new Promise((resolve) => {
    let pid = child.pid ?? null
    let isOver = false
    const handle: ChildHandle = {
      get pid() {
        return pid
      },
      send: async (message: ToChild) => {
        if (!isOver) child.postMessage(message)
      },
      // `child.kill()` is a SIGTERM, which the child answers with a checkpoint.
      kill: () => void (pid === null || isOver ? child.kill() : killAtOnce(pid)),
    }
    child.once('spawn', () => {
      pid = child.pid ?? null
      resolve(handle)
    })
    child.once('exit', (code) => {
      isOver = true
      resolve(handle)
      const ends = Promise.all(toTheirEnds.map((toItsEnd) => toItsEnd()))
      void Promise.race([ends, sleep(STREAMS_MS, undefined, { ref: false })]).then(() => {
        // Later than the messages of the same turn. Electron tells no signal; its code for one
        // differs between systems.
        setImmediate(() => request.onExit({ code, signal: null }))
      })
    })
  })
}

/** Reads a stream; the function that it gives is for the exit, and reads on to the stream's end. */
function readText(
  stream: NodeJS.ReadableStream | null,
  use: (text: string) => void,
): () => Promise<void> {
  stream?.setEncoding('utf8').on('data', use)
  return async () => {
    // Electron takes all listeners off the streams after its event, though text may be in them yet.
    await null
    stream?.off('data', use).on('data', use)
    // A stream that breaks off has ended too.
    if (stream !== null) await finished(stream, { writable: false }).catch(() => {})
  }
}

function killAtOnce(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It is gone already.
  }
}
