/**
 * The directory of one run. It decides whether a run may start there, keeps a second one out, and
 * names every file in it:
 *
 *     config.json         everything resolved
 *     metrics.jsonl       reproducible numbers: two equal runs give equal files
 *     timing.jsonl        wall-clock numbers
 *     bad-images.jsonl    pictures that could not be read
 *     checkpoints/        epoch-000003-step-00000585.safetensors ...
 *     backbone.safetensors   exported at the end
 */

import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from './run-directory/atomic-file.js'
import { attempt } from './run-directory/attempt.js'
import {
  CHECKPOINTS,
  type CheckpointFile,
  checkpointPath,
  listCheckpoints,
  removeUnfinished,
} from './run-directory/checkpoint-files.js'
import {
  CONFIG,
  type Entry,
  enter,
  FORMAT,
  LOCK,
  type OpenOptions,
  readJson,
} from './run-directory/entry.js'
import { JsonLines } from './run-directory/json-lines.js'
import { DirectoryLock } from './run-directory/lock.js'

export { type CheckpointFile, listCheckpoints } from './run-directory/checkpoint-files.js'
export type { OpenOptions } from './run-directory/entry.js'
export type { JsonLines } from './run-directory/json-lines.js'

/** Lengths of the growing files, in bytes; part of a checkpoint. */
export interface RunPosition {
  readonly metrics: number
  readonly timing: number
  readonly badImages: number
}

/** A run directory, held by this process until `close`. */
export class RunDirectory {
  /** The directory. */
  readonly path: string
  /** Whether an earlier run is in it, to go on from. */
  readonly resumed: boolean
  /** Files of an earlier run that `overwrite` removed. */
  readonly removed: readonly string[]
  /** Files that nnclr did not write and did not touch. */
  readonly foreign: readonly string[]
  /** Reproducible numbers: two equal runs give equal files. */
  readonly metrics: JsonLines
  /** Wall-clock numbers. */
  readonly timing: JsonLines
  /** Pictures that could not be read. */
  readonly badImages: JsonLines
  readonly #lock: DirectoryLock

  private constructor(path: string, lock: DirectoryLock, entry: Entry) {
    this.path = path
    this.resumed = entry.resumed
    this.removed = entry.removed
    this.foreign = entry.foreign
    this.metrics = new JsonLines(join(path, 'metrics.jsonl'))
    this.timing = new JsonLines(join(path, 'timing.jsonl'))
    this.badImages = new JsonLines(join(path, 'bad-images.jsonl'))
    this.#lock = lock
  }

  /**
   * Opens `out`, making it where it is missing. A directory that is not empty needs `resume`, which
   * wants a run of ours in it, or `overwrite`, which removes what a run of ours left and nothing
   * else. `resume` in an empty directory starts anew.
   *
   * @throws NnclrError CONFIG when the rules forbid it or a live run is there, IO from the system.
   */
  static async open(out: string, options: OpenOptions): Promise<RunDirectory> {
    await attempt('make', out, () => mkdir(out, { recursive: true }))
    const lock = await DirectoryLock.acquire(join(out, LOCK))
    try {
      const entry = await enter(out, options)
      const checkpoints = join(out, CHECKPOINTS)
      await attempt('make', checkpoints, () => mkdir(checkpoints, { recursive: true }))
      await removeUnfinished(out)
      return new RunDirectory(out, lock, entry)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  /** Where the exported backbone goes. */
  get backbonePath(): string {
    return join(this.path, 'backbone.safetensors')
  }

  /** Writes config.json, complete or not at all. @throws NnclrError IO. */
  async writeConfig(record: Record<string, unknown>): Promise<void> {
    const text = JSON.stringify({ format: FORMAT, ...record }, null, 2)
    await writeFileAtomic(join(this.path, CONFIG), `${text}\n`)
  }

  /**
   * Reads config.json; null when there is none.
   *
   * @throws NnclrError IO, CHECKPOINT when it is broken.
   */
  async readConfig(): Promise<Record<string, unknown> | null> {
    return readJson(join(this.path, CONFIG))
  }

  /** The path of the checkpoint of this epoch and step; names sort as the checkpoints were made. */
  checkpointPath(epoch: number, step: number): string {
    return checkpointPath(this.path, epoch, step)
  }

  /** All checkpoints, the newest first. @throws NnclrError IO. */
  async checkpoints(): Promise<CheckpointFile[]> {
    return listCheckpoints(this.path)
  }

  /**
   * Removes the oldest checkpoints beyond `keep`. One beyond step `last` could not be read when the
   * run was resumed: it must not count in place of one that can.
   *
   * @returns their paths. @throws NnclrError IO.
   */
  async removeOldCheckpoints(
    keep: number,
    last: number = Number.POSITIVE_INFINITY,
  ): Promise<string[]> {
    const usable = (await this.checkpoints()).filter(({ step }) => step <= last)
    const old = usable.slice(keep).map(({ path }) => path)
    for (const path of old) await attempt('remove', path, () => rm(path, { force: true }))
    return old
  }

  /** Lengths of the growing files with every line so far on the disk. @throws NnclrError IO. */
  async position(): Promise<RunPosition> {
    return {
      metrics: await this.metrics.position(),
      timing: await this.timing.position(),
      badImages: await this.badImages.position(),
    }
  }

  /**
   * Cuts the growing files to a checkpoint's lengths.
   *
   * @returns the paths of files that were shorter already and so lack lines.
   * @throws NnclrError IO.
   */
  async truncate({ metrics, timing, badImages }: RunPosition): Promise<string[]> {
    const short: string[] = []
    if (!(await this.metrics.truncate(metrics))) short.push(this.metrics.path)
    if (!(await this.timing.truncate(timing))) short.push(this.timing.path)
    if (!(await this.badImages.truncate(badImages))) short.push(this.badImages.path)
    return short
  }

  /** Writes out the lines that wait. @throws NnclrError IO. */
  async flush(): Promise<void> {
    await Promise.all([this.metrics.flush(), this.timing.flush(), this.badImages.flush()])
  }

  /** Writes out what waits and lets the next run in. @throws NnclrError IO. */
  async close(): Promise<void> {
    try {
      // Settled, all of them: a failure of one must not leave the others open.
      const closed = [this.metrics.close(), this.timing.close(), this.badImages.close()]
      const failed = (await Promise.allSettled(closed)).find(({ status }) => status === 'rejected')
      if (failed?.status === 'rejected') throw failed.reason
    } finally {
      await this.#lock.release()
    }
  }
}
