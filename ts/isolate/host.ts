/** The parent's side of one isolated call: from the child's start until it is gone. */

import type { TrainEvent } from '../events.js'
import { processError } from './ended.js'
import { errorOf } from './error-record.js'
import type { StartMessage, ToParent } from './messages.js'
import { type IsolateOptions, memoryLimit } from './options.js'
import { Output } from './output.js'
import { Joiner, sendInPieces } from './pieces.js'
import { explainUnsendable } from './sendable.js'
import {
  type ChildHandle,
  childEntry,
  ownTransport,
  type ProcessExit,
  type Transport,
} from './transport.js'

/** A child that has answered and does not go is ended after so many ms. */
const PATIENCE_MS = 3000

/** A call as the child gets it, and what the parent does about it. */
export interface Call extends Pick<StartMessage, 'job' | 'settings' | 'pictures'> {
  /** The caller's signal. */
  readonly signal: AbortSignal | null
  /** Gets the events of a training. */
  readonly onEvent?: (event: TrainEvent) => void
  /** The newest checkpoint that a child which crashed has left. */
  readonly lastCheckpoint: () => Promise<string | null>
  /** What the child is, for the error of a crash. @default 'child process' */
  readonly title?: string
  /** Finished steps, where another child tells the events. @default those of its events */
  readonly finishedSteps?: () => number
}

/**
 * Does a call in a child process and gives its result. When the promise settles the process is gone.
 *
 * @throws NnclrError what the call throws, PROCESS when the child ends without an answer, CONFIG for
 * what cannot be sent to it; the reason of `kill`.
 */
export async function callInChild(
  call: Call,
  options: IsolateOptions,
  transport: Transport = ownTransport(),
): Promise<unknown> {
  options.kill?.throwIfAborted()
  const isolated = new IsolatedCall(call, options)
  const exit = await isolated.run(transport)
  return isolated.outcome(exit)
}

type Answer = Extract<ToParent, { type: 'result' | 'error' }>

class IsolatedCall {
  readonly #call: Call
  readonly #options: IsolateOptions
  readonly #output: Output
  readonly #joiner: Joiner = new Joiner()
  #child: ChildHandle | null = null
  #answer: Answer | null = null
  #patience: NodeJS.Timeout | undefined
  /** Finished steps that the parent has heard of. */
  #step = 0
  /** Resident bytes with which the child went over its limit. */
  #used: number | null = null
  /** What failed here and not in the child, for example something that could not be sent to it. */
  #failure: unknown = null

  constructor(call: Call, options: IsolateOptions) {
    this.#call = call
    this.#options = options
    this.#output = new Output(options.onOutput)
  }

  /** Runs the child until it is gone. */
  async run(transport: Transport): Promise<ProcessExit> {
    const { execArgv = transport.execArgv, env, kill } = this.#options
    const { signal } = this.#call
    const abort = (): void => void this.#child?.send({ type: 'abort' })
    const end = (): void => this.#child?.kill()
    try {
      return await new Promise<ProcessExit>((resolve, reject) => {
        const request = {
          entry: childEntry(),
          execArgv,
          env: withoutUndefined({ ...process.env, ...env }),
          onMessage: (message: ToParent) => this.#take(message),
          onOutput: (text: string, stream: 'stdout' | 'stderr') => this.#output.take(text, stream),
          onExit: resolve,
        }
        const begin = async (): Promise<void> => {
          this.#child = await transport.start(request)
          // What was aborted meanwhile would be missed by a listener.
          if (kill?.aborted === true) end()
          kill?.addEventListener('abort', end)
          signal?.addEventListener('abort', abort)
          await this.#start(this.#child)
        }
        begin().catch((error: unknown) => {
          if (this.#child === null) return reject(error)
          // The call settles when the child is gone, as ever.
          this.#failure = error
          end()
        })
      })
    } finally {
      signal?.removeEventListener('abort', abort)
      kill?.removeEventListener('abort', end)
      clearTimeout(this.#patience)
    }
  }

  /** What the caller gets. */
  async outcome(exit: ProcessExit): Promise<unknown> {
    const { signal, lastCheckpoint, title, finishedSteps } = this.#call
    if (this.#failure !== null) throw this.#failure
    if (this.#answer?.type === 'result') return this.#answer.result
    if (this.#answer?.type === 'error') {
      const { error } = this.#answer
      // The caller's own reason, and not a copy of the child's.
      throw error.isAbort && signal?.aborted === true ? signal.reason : errorOf(error)
    }
    this.#options.kill?.throwIfAborted()
    throw processError({
      exit,
      title: title ?? 'child process',
      pid: this.#child?.pid ?? null,
      step: finishedSteps?.() ?? this.#step,
      used: this.#used,
      limit: memoryLimit(this.#options),
      checkpoint: await lastCheckpoint(),
      output: this.#output.lastLines,
    })
  }

  async #start(child: ChildHandle): Promise<void> {
    const { job, settings, pictures, signal } = this.#call
    const message: StartMessage = {
      type: 'start',
      job,
      settings,
      pictures,
      isAborted: signal?.aborted === true,
      memoryLimit: memoryLimit(this.#options),
      priority: this.#options.priority ?? 'below-normal',
    }
    try {
      await sendInPieces(child, message)
    } catch (error) {
      throw explainUnsendable(message, error)
    }
  }

  #take(message: ToParent): void {
    if (message.type === 'piece') this.#joiner.take(message)
    else if (message.type === 'event') this.#tell(message.event)
    else if (message.type === 'memory') this.#used = message.used
    else {
      this.#answer = this.#joiner.join(message)
      void this.#child?.send({ type: 'end' })
      this.#patience = setTimeout(() => this.#child?.kill(), PATIENCE_MS)
    }
  }

  #tell(event: TrainEvent): void {
    if ('step' in event) this.#step = event.step
    this.#call.onEvent?.(event)
  }
}

function withoutUndefined(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined))
}
