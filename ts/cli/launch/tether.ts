/**
 * Loaded before the script of each rank that `nnclr launch` starts (Node's `--import`): a rank whose
 * launcher is gone is asked to end, and then ended. Nobody else would do it.
 */

import { isMainThread } from 'node:worker_threads'

/** How often it is looked, in ms. */
const LOOK_MS = 1000
/** An orphan may write its checkpoint in so many ms. */
const GRACE_MS = 5000

if (isMainThread) {
  const { ppid } = process
  const timer = setInterval(() => {
    // An orphan gets another parent from the system.
    if (process.ppid === ppid) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS).unref()
  }, LOOK_MS)
  timer.unref()
}
