/**
 * A child process by Electron's `utilityProcess`, described here by its shape: nnclr does not depend
 * on Electron.
 */

import { createRequire } from 'node:module'
import type { ToChild, ToParent } from './messages.js'
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
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.on('data', (bytes: Buffer) => request.onOutput(bytes.toString('utf8'), stream))
  }
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
      // Electron tells no signal; its code for one differs between systems.
      setImmediate(() => request.onExit({ code, signal: null }))
      resolve(handle)
    })
  })
}

function killAtOnce(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It is gone already.
  }
}
