/**
 * Fetches a CIFAR archive and puts its files in place. The archive is checked in memory before the
 * first byte is written, and files appear under their names only when they are complete, so a
 * download that was killed leaves nothing that a later run takes for good.
 */

import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { isAbort, NnclrError } from '../errors.js'
import { syncFile } from '../run-directory/sync-file.js'
import { filesOfTar } from './tar.js'

const AUTHORS_PAGE = 'https://www.cs.toronto.edu/~kriz'
/** Both official archives unpack to less than 200 MB. */
const LARGEST_UNPACKED = 2 ** 29

/** An archive and where its files go. */
export interface CifarArchive {
  /** The archive's file name. */
  readonly archive: string
  /** Hex md5 of the archive, as its authors publish it. */
  readonly md5: string
  /** Folder of the files, in the archive and below the root. */
  readonly folder: string
}

/** Where from, and who is told. */
export interface DownloadOptions {
  readonly mirror?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((received: number, total: number | null) => void) | undefined
}

/**
 * Fetches the archive and writes those of its files that are named.
 *
 * @throws NnclrError IO when it cannot be fetched, has another checksum or lacks a file.
 */
export async function fetchCifar(
  archive: CifarArchive,
  root: string,
  files: readonly string[],
  options: DownloadOptions,
): Promise<void> {
  const url = `${(options.mirror ?? AUTHORS_PAGE).replace(/\/+$/, '')}/${archive.archive}`
  const packed = await download(url, options)
  const md5 = createHash('md5').update(packed).digest('hex')
  if (md5 !== archive.md5) {
    throw new NnclrError(
      'IO',
      url,
      `${url} has md5 ${md5}, expected ${archive.md5}: it is damaged or another file`,
    )
  }
  const content = filesOfTar(await unpack(url, packed), new Set(files))
  const missing = files.find((file) => !content.has(file))
  if (missing !== undefined) throw new NnclrError('IO', url, `${url} does not hold ${missing}`)
  await place(join(root, archive.folder), content)
}

async function download(url: string, { signal, onProgress }: DownloadOptions): Promise<Buffer> {
  try {
    const response = await fetch(url, signal === undefined ? {} : { signal })
    if (!response.ok || response.body === null) {
      throw new NnclrError('IO', url, `cannot fetch ${url}: the server answered ${response.status}`)
    }
    const length = Number(response.headers.get('content-length'))
    const total = length > 0 ? length : null
    const chunks: Uint8Array[] = []
    let received = 0
    for await (const chunk of response.body) {
      chunks.push(chunk)
      received += chunk.length
      onProgress?.(received, total)
    }
    return Buffer.concat(chunks)
  } catch (error) {
    if (error instanceof NnclrError || isAbort(error)) throw error
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new NnclrError('IO', url, `cannot fetch ${url}: ${reason}`, { cause: error })
  }
}

async function unpack(url: string, packed: Buffer): Promise<Buffer> {
  try {
    return await promisify(gunzip)(packed, { maxOutputLength: LARGEST_UNPACKED })
  } catch (error) {
    throw new NnclrError('IO', url, `${url} is no gzip archive`, { cause: error })
  }
}

/** Writes all files beside their place first, then renames each into it. */
async function place(folder: string, content: ReadonlyMap<string, Uint8Array>): Promise<void> {
  let staging: string | null = null
  try {
    await mkdir(folder, { recursive: true })
    staging = await mkdtemp(join(folder, '.part-'))
    for (const [name, bytes] of content) await writeSynced(join(staging, name), bytes)
    for (const name of content.keys()) await rename(join(staging, name), join(folder, name))
  } catch (error) {
    throw NnclrError.io('write to', folder, error)
  } finally {
    if (staging !== null) await rm(staging, { recursive: true, force: true })
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await file.writeFile(bytes)
    await syncFile(file)
  } finally {
    await file.close()
  }
}
