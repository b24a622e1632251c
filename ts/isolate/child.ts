/**
 * The program of the child process: does one call and exits. Started by `ts/isolate/host.ts` and by
 * nobody else.
 */

import type { TrainConfig } from '../config.js'
import type { EmbedOptions, KnnOptions } from '../embed.js'
import type { TrainEvent } from '../events.js'
import { answerSignals, endWithParent, watchMemory } from './child-life.js'
import { openPort } from './child-port.js'
import { dataOf } from './data-record.js'
import { recordOf } from './error-record.js'
import type { JobName, StartMessage } from './messages.js'
import { Joiner, sendInPieces } from './pieces.js'
import { standBack } from './priority.js'

/** A parent that got the answer says `end`; one that does not is not waited for longer, in ms. */
const PATIENCE_MS = 5000

const port = openPort()
const stop = new AbortController()
const joiner = new Joiner()
let isOrphan = false

endWithParent(port, stop)
answerSignals(stop)
port.onGone(() => (isOrphan = true))
port.onMessage((message) => {
  if (message.type === 'piece') joiner.take(message)
  else if (message.type === 'abort') stop.abort()
  else if (message.type === 'end') process.exit()
  else void answer(joiner.join(message))
})

async function answer({ job, settings, pictures, ...rest }: StartMessage): Promise<void> {
  standBack(rest.priority)
  if (rest.isAborted) stop.abort()
  if (rest.memoryLimit !== null) watchMemory(port, rest.memoryLimit)
  const sets = Object.entries(pictures).map(([field, record]) => [field, dataOf(record)])
  const options = { ...settings, ...Object.fromEntries(sets), signal: stop.signal }
  try {
    await sendInPieces(port, { type: 'result', result: await CALLS[job](options) })
  } catch (error) {
    await port.send({ type: 'error', error: recordOf(error) })
  }
  if (isOrphan) process.exit()
  setTimeout(() => process.exit(), PATIENCE_MS)
}

/** The calls. They load the addon, and a failure to do so is an answer like any other. */
const CALLS: Readonly<Record<JobName, (options: object) => Promise<unknown>>> = {
  train: async (config) => {
    const { train } = await import('../train.js')
    const run = train(config as TrainConfig)
    for await (const event of run) void port.send({ type: 'event', event: sendable(event) })
    return run
  },
  embed: async (options) => (await import('../embed.js')).embed(options as EmbedOptions),
  knn: async (options) => (await import('../embed.js')).knn(options as KnnOptions),
}

/** A start event tells the configuration; the parent has the caller's own objects in it. */
function sendable(event: TrainEvent): TrainEvent {
  if (event.type !== 'start') return event
  const { validation } = event.config
  const isObject = typeof validation === 'object'
  const config = {
    ...event.config,
    signal: null,
    data: '',
    validation: isObject ? null : validation,
  }
  return { ...event, config }
}
