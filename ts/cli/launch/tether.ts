/**
 * Loaded before the script of each rank that `nnclr launch` starts (Node's `--import`): a rank whose
 * launcher is gone is asked to end, and then ended. Nobody else would do it.
 */

import { isMainThread } from 'node:worker_threads'
import { LAUNCHER } from './launcher-variable.js'

/** How often it is looked, in ms. */
const LOOK_MS = 1000
/** An orphan may write its checkpoint in so many ms. */
const GRACE_MS = 5000

const launcher = Number(process.env[LAUNCHER])

// A rank's own child processes inherit Node's flags, and with them this file: they have another parent.
if (isMainThread && launcher > 0) {
  delete process.env[LAUNCHER]
  const timer = setInterval(() => {
    // An orphan gets another parent from the system, perhaps before its first line.
    if (process.ppid === launcher) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS).unref()
  }, LOOK_MS)
  timer.unref()
}
