/** A child process and the channel to it: Node's, or Electron's where that is the way. */

import { existsSync } from 'node:fs'
import { extname, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NnclrError } from '../errors.js'
import { electronTransport, ownElectron } from './electron-transport.js'
import type { Port, ToChild, ToParent } from './messages.js'
import { nodeTransport } from './node-transport.js'

/** How a process ended. */
export interface ProcessExit {
  /** Its exit code, null when a signal ended it. */
  readonly code: number | null
  /** The signal that ended it, null when none did, or where the system does not tell. */
  readonly signal: string | null
  /** Why it could not even begin. */
  readonly failure?: unknown
}

/** What a transport is asked for. */
export interface ChildRequest {
  /** The child's program. */
  readonly entry: string
  readonly execArgv: readonly string[]
  readonly env: NodeJS.ProcessEnv
  onMessage(message: ToParent): void
  onOutput(text: string, stream: 'stdout' | 'stderr'): void
  /** Called once, after the last message and the last output. */
  onExit(exit: ProcessExit): void
}

/** A child process under way. */
export interface ChildHandle extends Port<ToChild> {
  /** Null when it could not begin. */
  readonly pid: number | null
  /** Ends it at once. */
  kill(): void
}

/** A way to have a child process. */
export interface Transport {
  /** Flags for the child that a caller did not choose. */
  readonly execArgv: readonly string[]
  start(request: ChildRequest): Promise<ChildHandle>
}

/** Electron's utility process in Electron's main process, Node's `fork` everywhere else. */
export function ownTransport(): Transport {
  const electron = ownElectron()
  return electron === null ? nodeTransport() : electronTransport(electron)
}

/**
 * The child's program: beside this file, compiled or not as this file is.
 *
 * @throws NnclrError IO when it is not there.
 */
export function childEntry(here: string = import.meta.url): string {
  const entry = unpacked(fileURLToPath(new URL(`./child${extname(here)}`, here)))
  if (existsSync(entry)) return entry
  const reason = 'nnclr was bundled into another file: mark it as external for the bundler'
  throw new NnclrError(
    'IO',
    entry,
    `the program of the child process is not at ${entry}; ${reason}`,
  )
}

/**
 * The same file outside Electron's archive, where it was unpacked: the child's addon and its
 * libraries are opened by the system, which cannot read in an archive.
 */
export function unpacked(path: string): string {
  const outside = path.replace(`app.asar${sep}`, `app.asar.unpacked${sep}`)
  return existsSync(outside) ? outside : path
}
