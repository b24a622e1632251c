/**
 * A few things that stay loaded. The least recently used are let go first, and what was let go is
 * closed when its last user is done: nobody who waits for one finds it closed.
 */

interface Entry<T> {
  readonly value: Promise<T>
  users: number
  isLetGo: boolean
}

/** Things by key, at most a few of them beyond those in use. */
export class Recent<T> {
  readonly #most: number
  readonly #close: (value: T) => unknown
  readonly #entries: Map<string, Entry<T>> = new Map()
  readonly #closing: Set<Promise<void>> = new Set()

  constructor(most: number, close: (value: T) => unknown) {
    this.#most = most
    this.#close = close
  }

  /** Does `work` with what `key` stands for; `open` makes it when it is not there. */
  async use<R>(key: string, open: () => Promise<T>, work: (value: T) => Promise<R>): Promise<R> {
    const entry = this.#entry(key, open)
    entry.users += 1
    try {
      return await work(await entry.value)
    } finally {
      entry.users -= 1
      this.#closeUnused(entry)
    }
  }

  /** Lets go of everything; resolves when what nobody uses is closed. */
  async clear(): Promise<void> {
    for (const key of [...this.#entries.keys()]) this.#letGo(key)
    await Promise.all(this.#closing)
  }

  #entry(key: string, open: () => Promise<T>): Entry<T> {
    const entry = this.#entries.get(key) ?? this.#begin(key, open)
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    for (const oldest of [...this.#entries.keys()].slice(0, -this.#most)) this.#letGo(oldest)
    return entry
  }

  #begin(key: string, open: () => Promise<T>): Entry<T> {
    const entry: Entry<T> = { value: open(), users: 0, isLetGo: false }
    // What failed is tried anew next time.
    entry.value.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
    })
    return entry
  }

  #letGo(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    entry.isLetGo = true
    this.#closeUnused(entry)
  }

  /** Nobody finds it any more, so that the number of its users only falls. */
  #closeUnused({ isLetGo, users, value }: Entry<T>): void {
    if (!isLetGo || users > 0) return
    // One that could not be opened has nothing to close; whoever asked for it has its error.
    const closing = value.then(this.#close).then(
      () => {},
      () => {},
    )
    this.#closing.add(closing)
    void closing.then(() => this.#closing.delete(closing))
  }
}
