/**
 * A file of JSON records, one a line, that only grows. `append` returns at once; the lines are
 * written in order in the background, each write holding whole lines.
 */

import { type FileHandle, open } from 'node:fs/promises'
import { NnclrError } from '../errors.js'
import { syncContent } from './sync-file.js'

/** An append-only file of JSON lines. */
export class JsonLines {
  /** The file. */
  readonly path: string
  #file: Promise<FileHandle> | null = null
  #pending = ''
  #writing: Promise<void> | null = null
  #failure: NnclrError | null = null

  /** Names the file; it is made with the first line. */
  constructor(path: string) {
    this.path = path
  }

  /**
   * Adds a record. JSON has no NaN: such a number becomes null.
   *
   * @throws NnclrError IO when an earlier line could not be written.
   */
  append(record: object): void {
    if (this.#failure !== null) throw this.#failure
    this.#pending += `${JSON.stringify(record)}\n`
    this.#writing ??= this.#drain()
  }

  /** Waits until every line so far is handed to the system. @throws NnclrError IO. */
  async flush(): Promise<void> {
    while (this.#writing !== null) await this.#writing
    if (this.#failure !== null) throw this.#failure
  }

  /** Length in bytes with every line so far, safely on the disk: what a checkpoint remembers. */
  async position(): Promise<number> {
    await this.flush()
    try {
      const file = await this.#opened()
      await syncContent(file)
      return (await file.stat()).size
    } catch (error) {
      throw NnclrError.io('write', this.path, error)
    }
  }

  /**
   * Cuts the file to a remembered length, to go on from that checkpoint.
   *
   * @returns false when the file was shorter already, so that lines are missing for good; it is
   * then cut after its last whole line.
   */
  async truncate(length: number): Promise<boolean> {
    await this.flush()
    try {
      const file = await this.#opened()
      const { size } = await file.stat()
      await file.truncate(size >= length ? length : await wholeLines(file, size))
      return size >= length
    } catch (error) {
      throw NnclrError.io('truncate', this.path, error)
    }
  }

  /** Writes what is left and closes the file. @throws NnclrError IO. */
  async close(): Promise<void> {
    try {
      await this.flush()
    } finally {
      const file = this.#file
      this.#file = null
      // A file that could not be opened has told so already.
      const opened = await file?.catch(() => null)
      await opened?.close()
    }
  }

  async #drain(): Promise<void> {
    try {
      const file = await this.#opened()
      while (this.#pending !== '') {
        const lines = this.#pending
        this.#pending = ''
        await file.appendFile(lines)
      }
    } catch (error) {
      // Kept for the caller's next append or flush: here nobody waits.
      this.#failure = NnclrError.io('write', this.path, error)
    } finally {
      this.#writing = null
    }
  }

  #opened(): Promise<FileHandle> {
    // 'a+': every write goes to the end, wherever a truncation put it, and it can be read.
    this.#file ??= open(this.path, 'a+')
    return this.#file
  }
}

/** The length up to and including the last line end; lines are short, so a small tail holds one. */
async function wholeLines(file: FileHandle, size: number): Promise<number> {
  const tail = Buffer.alloc(Math.min(size, 65_536))
  await file.read(tail, 0, tail.length, size - tail.length)
  const lastEnd = tail.lastIndexOf('\n')
  return lastEnd === -1 ? 0 : size - tail.length + lastEnd + 1
}
