/** The child's end of the channel. */

import type { Port, ToChild, ToParent } from './messages.js'

/** The child's end of the channel, with what arrives there. */
export interface ChildPort extends Port<ToParent> {
  onMessage(use: (message: ToChild) => void): void
  /** Calls back when the parent is gone. */
  onGone(use: () => void): void
}

/** What is used of Electron's `process.parentPort`. */
interface ElectronParentPort {
  postMessage(message: unknown): void
  on(event: 'message', listener: (event: { readonly data: unknown }) => void): unknown
}

/** How often it is looked whether the parent still lives, in ms. */
const LOOK_MS = 1000

/** Opens it; a program that was started in another way has none. */
export function openPort(): ChildPort {
  const { parentPort } = process as { readonly parentPort?: ElectronParentPort }
  if (parentPort !== undefined) return electronPort(parentPort)
  if (process.send === undefined) throw new Error('nnclr starts this program; it is no command')
  return nodePort()
}

function nodePort(): ChildPort {
  return {
    send: (message) =>
      new Promise((resolve) => {
        // A parent that went is noticed by `onGone`.
        if (process.connected) process.send?.(message, undefined, undefined, () => resolve())
        else resolve()
      }),
    onMessage: (use) => void process.on('message', (message) => use(message as ToChild)),
    onGone: (use) => {
      process.once('disconnect', use)
      onOtherParent(use)
    },
  }
}

function electronPort(port: ElectronParentPort): ChildPort {
  return {
    send: async (message) => port.postMessage(message),
    onMessage: (use) => void port.on('message', ({ data }) => use(data as ToChild)),
    // Chromium ends its processes with the main one; this is for the case that it could not.
    onGone: onOtherParent,
  }
}

/** An orphan gets another parent from the system, though not on Windows. */
function onOtherParent(use: () => void): void {
  const { ppid } = process
  const timer = setInterval(() => {
    if (process.ppid === ppid) return
    clearInterval(timer)
    use()
  }, LOOK_MS)
  timer.unref()
}
