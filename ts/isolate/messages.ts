/**
 * What parent and child tell each other. The order of a run: pieces, `start`; then events; then
 * pieces and `result`, or `error`; then `end`, upon which the child exits. `abort` may come any time.
 */

import type { TrainEvent } from '../events.js'
import type { DataRecord } from './data-record.js'
import type { ErrorRecord } from './error-record.js'
import type { Piece } from './pieces.js'
import type { Priority } from './priority.js'

/** The calls that can be isolated. */
export type JobName = 'train' | 'embed' | 'knn'

/** Everything the child needs for its work. */
export interface StartMessage {
  readonly type: 'start'
  readonly job: JobName
  /** The caller's settings without signal and pictures. */
  readonly settings: Readonly<Record<string, unknown>>
  /** The settings that are pictures, by field. */
  readonly pictures: Readonly<Record<string, DataRecord>>
  /** Whether the caller's signal was aborted before. */
  readonly isAborted: boolean
  /** Most resident memory in bytes, null without a limit. */
  readonly memoryLimit: number | null
  readonly priority: Priority
}

/** From the parent. */
export type ToChild = StartMessage | Piece | { readonly type: 'abort' } | { readonly type: 'end' }

/** From the child. */
export type ToParent =
  | Piece
  | { readonly type: 'event'; readonly event: TrainEvent }
  | { readonly type: 'result'; readonly result: unknown }
  | { readonly type: 'error'; readonly error: ErrorRecord }
  /** The last word of a child that is above its memory limit: its resident bytes. */
  | { readonly type: 'memory'; readonly used: number }

/** One side's end of the channel. */
export interface Port<Message> {
  /**
   * Resolves when the message is handed to the system, or cannot be because the other side is gone;
   * rejects when it holds something that cannot be sent, a function for example.
   */
  send(message: Message): Promise<void>
}
