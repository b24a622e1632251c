/**
 * Large values in pieces. One message of a gigabyte would hold both event loops for seconds, and
 * would be in memory three times; a message of ours weighs a few mebibytes, and the next one waits
 * until it is handed over.
 */

import type { Port } from './messages.js'

/** Roughly the most that one message weighs, in bytes. */
const MOST = 4 * 1024 * 1024
/** What an entry of a list weighs beside its text and bytes. */
const ENTRY = 32
/** The field of a placeholder; no setting, event or result has a field of this name. */
const PLACE = 'nnclr:pieces'

type Numbers = Uint8Array | Int32Array | Uint32Array | Float32Array
type Kind = 'list' | 'Uint8Array' | 'Int32Array' | 'Uint32Array' | 'Float32Array'

/** A part of a large array. */
export interface Piece {
  readonly type: 'piece'
  /** The array it belongs to. */
  readonly id: number
  readonly kind: Kind
  /** Entries of the whole array. */
  readonly length: number
  /** Where this part begins. */
  readonly at: number
  readonly part: Numbers | readonly unknown[]
}

/** Numbers the arrays of this process. */
let arrays = 0

/** Sends a message; arrays in it that are large go before it, in pieces. */
export async function sendInPieces<Message>(
  port: Port<Message | Piece>,
  message: Message,
): Promise<void> {
  const large = new Map<number, Numbers | readonly unknown[]>()
  const frame = withoutLarge(message, large) as Message
  for (const [id, array] of large) {
    for (const piece of piecesOf(id, array)) await port.send(piece)
  }
  await port.send(frame)
}

/** Puts messages together again. */
export class Joiner {
  readonly #arrays = new Map<number, Numbers | unknown[]>()

  /** Takes a piece. */
  take({ id, kind, length, at, part }: Piece): void {
    const array = this.#arrays.get(id) ?? emptyArray(kind, length)
    this.#arrays.set(id, array)
    if (Array.isArray(array)) for (const entry of part) array.push(entry)
    else array.set(part as Numbers, at)
  }

  /** The message as it was sent. */
  join<T>(frame: T): T {
    return this.#filled(frame) as T
  }

  #filled(value: unknown): unknown {
    if (!isPlain(value)) return value
    const id = value[PLACE]
    if (typeof id !== 'number') return mapped(value, (field) => this.#filled(field))
    const array = this.#arrays.get(id)
    this.#arrays.delete(id)
    return array
  }
}

/** A copy with placeholders; lists of lists do not occur. */
function withoutLarge(value: unknown, large: Map<number, Numbers | readonly unknown[]>): unknown {
  if (isNumbers(value) ? value.byteLength > MOST : Array.isArray(value) && isHeavy(value)) {
    large.set(++arrays, value as Numbers | readonly unknown[])
    return { [PLACE]: arrays }
  }
  return isPlain(value) ? mapped(value, (field) => withoutLarge(field, large)) : value
}

function* piecesOf(id: number, array: Numbers | readonly unknown[]): Generator<Piece> {
  const { length } = array
  const kind = kindOf(array)
  if (isNumbers(array)) {
    const step = MOST / array.BYTES_PER_ELEMENT
    for (let at = 0; at < length; at += step) {
      // A copy: a view would take its whole buffer along, where messages are cloned by buffers.
      yield { type: 'piece', id, kind, length, at, part: array.slice(at, at + step) }
    }
    return
  }
  let [at, weight] = [0, 0]
  for (let i = 0; i < length; i++) {
    weight += weightOf(array[i])
    if (weight < MOST && i < length - 1) continue
    yield { type: 'piece', id, kind, length, at, part: array.slice(at, i + 1) }
    at = i + 1
    weight = 0
  }
}

function isHeavy(list: readonly unknown[]): boolean {
  let weight = 0
  return list.some((entry) => {
    weight += weightOf(entry)
    return weight > MOST
  })
}

function weightOf(entry: unknown): number {
  if (typeof entry === 'string') return ENTRY + entry.length
  if (isNumbers(entry)) return ENTRY + entry.byteLength
  if (!isPlain(entry)) return ENTRY
  return Object.values(entry).reduce((sum: number, field) => {
    return sum + (isPlain(field) ? ENTRY : weightOf(field))
  }, ENTRY)
}

function kindOf(array: Numbers | readonly unknown[]): Kind {
  if (array instanceof Uint8Array) return 'Uint8Array'
  if (array instanceof Int32Array) return 'Int32Array'
  if (array instanceof Uint32Array) return 'Uint32Array'
  return array instanceof Float32Array ? 'Float32Array' : 'list'
}

function emptyArray(kind: Kind, length: number): Numbers | unknown[] {
  if (kind === 'Uint8Array') return new Uint8Array(length)
  if (kind === 'Int32Array') return new Int32Array(length)
  if (kind === 'Uint32Array') return new Uint32Array(length)
  return kind === 'Float32Array' ? new Float32Array(length) : []
}

function isNumbers(value: unknown): value is Numbers {
  return ArrayBuffer.isView(value) && kindOf(value as Numbers) !== 'list'
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  return Object.getPrototypeOf(value) === Object.prototype
}

function mapped(
  value: Record<string, unknown>,
  change: (field: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, change(field)]))
}
