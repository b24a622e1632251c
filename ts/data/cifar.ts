/**
 * CIFAR-10 and CIFAR-100 from their official binary files (Krizhevsky, 2009): rows of one label
 * byte (CIFAR-100: coarse, then fine) and 3,072 pixel bytes, 32 x 32 red, then green, then blue.
 */

import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ConfigIssue, isSystemError, NnclrError } from '../errors.js'
import { type CifarArchive, fetchCifar } from './cifar-download.js'
import { type Dataset, fingerprintOf } from './dataset.js'

/** Which files, and where from. */
export interface CifarOptions {
  /** The 50,000 training or the 10,000 test pictures. @default 'train' */
  readonly split?: 'train' | 'test' | undefined
  /** Fetch the archive when files are missing in the folder. @default false */
  readonly download?: boolean | undefined
  /** Folder URL that holds the archive instead of the authors' page. */
  readonly mirror?: string | undefined
  /** The archive's md5, for another archive than the official one. */
  readonly md5?: string | undefined
  /** Stops a download. */
  readonly signal?: AbortSignal | undefined
  /** Told while downloading; `total` is null when the server does not say. */
  readonly onProgress?: ((received: number, total: number | null) => void) | undefined
}

/** What tells the two sets apart. */
interface Layout extends CifarArchive {
  readonly kind: string
  readonly classCount: number
  /** Label bytes before the pixels; the last of them counts. */
  readonly labelBytes: number
  readonly splits: { readonly train: readonly string[]; readonly test: readonly string[] }
  /** File of class names, one a line. */
  readonly names: string
}

const SIDE = 32
const PIXEL_BYTES = 3 * SIDE * SIDE

const LAYOUT_10: Layout = {
  kind: 'cifar10',
  classCount: 10,
  labelBytes: 1,
  splits: {
    train: [1, 2, 3, 4, 5].map((part) => `data_batch_${part}.bin`),
    test: ['test_batch.bin'],
  },
  names: 'batches.meta.txt',
  folder: 'cifar-10-batches-bin',
  archive: 'cifar-10-binary.tar.gz',
  md5: 'c32a1d4ab5d03f1284b67883e8d87530',
}

const LAYOUT_100: Layout = {
  kind: 'cifar100',
  classCount: 100,
  labelBytes: 2,
  splits: { train: ['train.bin'], test: ['test.bin'] },
  names: 'fine_label_names.txt',
  folder: 'cifar-100-binary',
  archive: 'cifar-100-binary.tar.gz',
  md5: '03b5dce01913d631647c71ecec9e9cb8',
}

/**
 * CIFAR-10.
 *
 * @example
 * const data = new CIFAR10('data/', { download: true })
 * await train({ data, validation: new CIFAR10('data/', { split: 'test' }), out: 'runs/cifar' })
 */
export class CIFAR10 {
  /** What this is, in a run's config.json. */
  readonly kind = 'cifar10'
  /** The folder with the files, or with the archive's folder. */
  readonly root: string
  readonly #options: CifarOptions

  /** Names the folder; nothing is read before `open`. */
  constructor(root: string, options: CifarOptions = {}) {
    this.root = checkedRoot(root, options)
    this.#options = options
  }

  /**
   * Reads the pictures. @throws NnclrError IO when files are missing, DECODE when they are broken.
   */
  open(): Promise<Dataset> {
    return openCifar(LAYOUT_10, this.root, this.#options)
  }
}

/** CIFAR-100 with its 100 fine classes. */
export class CIFAR100 {
  /** What this is, in a run's config.json. */
  readonly kind = 'cifar100'
  /** The folder with the files, or with the archive's folder. */
  readonly root: string
  readonly #options: CifarOptions

  /** Names the folder; nothing is read before `open`. */
  constructor(root: string, options: CifarOptions = {}) {
    this.root = checkedRoot(root, options)
    this.#options = options
  }

  /**
   * Reads the pictures. @throws NnclrError IO when files are missing, DECODE when they are broken.
   */
  open(): Promise<Dataset> {
    return openCifar(LAYOUT_100, this.root, this.#options)
  }
}

async function openCifar(layout: Layout, root: string, options: CifarOptions): Promise<Dataset> {
  const split = options.split ?? 'train'
  const folder = await locate(layout, root, options)
  const files = layout.splits[split].map((file) => join(folder, file))
  const { pixels, labels } = await readRows(layout, files)
  return {
    kind: layout.kind,
    root,
    length: labels.length,
    sources: null,
    planar: { pixels, width: SIDE, height: SIDE },
    labels,
    classes: await readNames(layout, join(folder, layout.names)),
    fingerprint: await fingerprintOf(layout.kind, labels.length, () => split, labels),
    notes: [],
    path: (index) => `${layout.kind}/${split}/${index}`,
  }
}

/** The folder that holds all files of both splits or at least of the one asked for. */
async function locate(layout: Layout, root: string, options: CifarOptions): Promise<string> {
  const needed = layout.splits[options.split ?? 'train']
  const inner = join(root, layout.folder)
  const missing = await firstMissing(root, needed)
  if (missing === null) return root
  if ((await firstMissing(inner, needed)) === null) return inner
  if (options.download === true) {
    const every = [...layout.splits.train, ...layout.splits.test, layout.names]
    await fetchCifar({ ...layout, md5: options.md5 ?? layout.md5 }, root, every, options)
    return inner
  }
  const message = `${missing} is neither in ${root} nor in ${inner}; fetch it with download: true`
  throw new NnclrError('IO', join(inner, missing), message)
}

async function firstMissing(folder: string, files: readonly string[]): Promise<string | null> {
  for (const file of files) {
    try {
      await access(join(folder, file))
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return file
      throw NnclrError.io('read', join(folder, file), error)
    }
  }
  return null
}

async function readRows(
  layout: Layout,
  files: readonly string[],
): Promise<{ pixels: Uint8Array; labels: Int32Array }> {
  const rowBytes = layout.labelBytes + PIXEL_BYTES
  const parts: { file: string; bytes: Uint8Array }[] = []
  for (const file of files) parts.push({ file, bytes: await readWhole(file) })
  const count = parts.reduce((sum, { file, bytes }) => sum + rowsIn(file, bytes, rowBytes), 0)
  const pixels = new Uint8Array(count * PIXEL_BYTES)
  const labels = new Int32Array(count)
  let row = 0
  for (const { file, bytes } of parts) {
    for (let start = 0; start < bytes.length; start += rowBytes, row++) {
      const first = start + layout.labelBytes
      const label = bytes[first - 1] ?? 0
      if (label >= layout.classCount) {
        const row = `row ${start / rowBytes}`
        const reason = `${row} has label ${label}, expected below ${layout.classCount}`
        throw new NnclrError('DECODE', file, `cannot decode ${file}: ${reason}`)
      }
      labels[row] = label
      pixels.set(bytes.subarray(first, first + PIXEL_BYTES), row * PIXEL_BYTES)
    }
  }
  return { pixels, labels }
}

function rowsIn(file: string, bytes: Uint8Array, rowBytes: number): number {
  if (bytes.length > 0 && bytes.length % rowBytes === 0) return bytes.length / rowBytes
  const reason = `${bytes.length} bytes are not a whole number of rows of ${rowBytes}`
  throw new NnclrError('DECODE', file, `cannot decode ${file}: ${reason}`)
}

async function readWhole(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file)
  } catch (error) {
    throw NnclrError.io('read', file, error)
  }
}

/** Class names, null when the file is missing or is not for these classes: they are for display. */
async function readNames(layout: Layout, file: string): Promise<string[] | null> {
  try {
    const names = (await readFile(file, 'utf8')).split('\n')
    const filled = names.map((name) => name.trim()).filter((name) => name !== '')
    return filled.length === layout.classCount ? filled : null
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return null
    throw NnclrError.io('read', file, error)
  }
}

function checkedRoot(root: string, { split }: CifarOptions): string {
  const issues: ConfigIssue[] = []
  if (typeof root !== 'string' || root === '') {
    issues.push({ field: 'root', value: String(root), expected: 'the path of a folder' })
  }
  if (split !== undefined && split !== 'train' && split !== 'test') {
    issues.push({ field: 'split', value: String(split), expected: "'train' | 'test'" })
  }
  if (issues.length > 0) throw NnclrError.config(issues)
  return root
}
