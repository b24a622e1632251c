/** When a child stops or ends though nobody asked for it over the channel. */

import type { ChildPort } from './child-port.js'

/** An orphan may finish its step and write a checkpoint in so many ms. */
const GRACE_MS = 3000
/** How often the memory is looked at, in ms. */
const LOOK_MS = 100

/** Ends this process at once; nothing is waited for, not even a step under way. */
export function endAtOnce(): void {
  process.kill(process.pid, 'SIGKILL')
}

/**
 * Ends with the parent: the work is stopped, so that it may leave a checkpoint, and what still runs
 * after a moment is killed.
 */
export function endWithParent(port: ChildPort, stop: AbortController): void {
  port.onGone(() => {
    stop.abort()
    setTimeout(endAtOnce, GRACE_MS)
  })
}

/**
 * What a terminal sends goes to the parent too, which decides. SIGTERM is for this process and means
 * what the caller's signal means.
 */
export function answerSignals(stop: AbortController): void {
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('SIGTERM', () => stop.abort())
}

/** Ends this process when it has more resident memory than `limit` bytes; the parent is told. */
export function watchMemory(port: ChildPort, limit: number): void {
  const timer = setInterval(() => {
    const used = process.memoryUsage.rss()
    if (used <= limit) return
    clearInterval(timer)
    // Not as soon as it is sent: Electron does not tell when a message is handed to the system.
    setTimeout(endAtOnce, LOOK_MS)
    void port.send({ type: 'memory', used })
  }, LOOK_MS)
  timer.unref()
}
