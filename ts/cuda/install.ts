/**
 * Fills a folder with the CUDA part of libtorch. Wheel by wheel: fetched by pip, which checks the
 * checksum; unpacked; written into a journal; removed. A run that was cut short goes on after the
 * last wheel of the journal. The folder gets its final name when it is complete.
 */

import { mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { NnclrError } from '../errors.js'
import { writeFileAtomic } from '../run-directory/atomic-file.js'
import { DirectoryLock } from '../run-directory/lock.js'
import { dataFolder } from './choice.js'
import type { CudaPins, CudaWheel } from './pins.js'
import { findPip, type PipPython, pipReason, type RunPython, runPython } from './python.js'
import { TORCH_VERSION } from './torch-folder.js'
import { UNPACK_SCRIPT } from './unpack-script.js'

/** What an installation needs besides the pins. */
export interface InstallOptions {
  /** The folder that ours lies in. @default nnclr's folder of the user's data */
  readonly parent?: string
  /** Told before each wheel. */
  readonly onWheel?: (wheel: CudaWheel, number: number, count: number) => void
  /** Runs Python. @default the real one */
  readonly run?: RunPython
}

/** What is to be done. */
export interface InstallPlan {
  /** The folder to be filled. */
  readonly folder: string
  /** Whether it is complete. */
  readonly done: boolean
  /** Wheels still to be fetched. */
  readonly missing: readonly CudaWheel[]
}

/** Sizes of unpacked files by path, for each finished wheel by its checksum. */
type Journal = Record<string, Record<string, number>>

const JOURNAL = 'wheels.json'

/** Looks how far an installation is. */
export async function planInstall(
  pins: CudaPins,
  options: InstallOptions = {},
): Promise<InstallPlan> {
  const folder = join(options.parent ?? dataFolder(), `cuda-${TORCH_VERSION}-${pins.platform}`)
  const complete = await finishedWheels(folder)
  if (pins.wheels.every(({ sha256 }) => complete.has(sha256)))
    return { folder, done: true, missing: [] }
  const finished = await finishedWheels(partOf(folder))
  const missing = pins.wheels.filter(({ sha256 }) => !finished.has(sha256))
  return { folder, done: false, missing }
}

/**
 * Installs what is missing; returns the folder.
 *
 * @throws NnclrError IO without Python or pip, without room, without network; CONFIG when another
 * process installs.
 */
export async function installCuda(pins: CudaPins, options: InstallOptions = {}): Promise<string> {
  const run = options.run ?? runPython
  const parent = options.parent ?? dataFolder()
  await mkdir(parent, { recursive: true }).catch((error) => {
    throw NnclrError.io('make', parent, error)
  })
  const lock = await lockFor(join(parent, 'cuda.lock'))
  try {
    const { folder, done, missing } = await planInstall(pins, options)
    if (done) return folder
    const part = partOf(folder)
    const pip = await findPip(run)
    await checkRoom(parent, pins, missing)
    const before = pins.wheels.length - missing.length
    for (const [i, wheel] of missing.entries()) {
      options.onWheel?.(wheel, before + i + 1, pins.wheels.length)
      await installWheel(wheel, part, pip, run)
    }
    await rm(join(part, 'pip'), { recursive: true, force: true })
    // An older, incomplete folder of this name makes way.
    await rm(folder, { recursive: true, force: true })
    await rename(part, folder)
    return folder
  } catch (error) {
    throw NnclrError.from(error, parent)
  } finally {
    await lock.release()
  }
}

async function lockFor(path: string): Promise<DirectoryLock> {
  try {
    return await DirectoryLock.acquire(path)
  } catch (error) {
    if (!(error instanceof NnclrError) || error.code !== 'CONFIG') throw error
    const message = `another installation is under way; if that is not so, remove ${path}`
    throw new NnclrError('CONFIG', 'cuda install', message, { cause: error })
  }
}

function partOf(folder: string): string {
  return `${folder}.part`
}

async function installWheel(
  wheel: CudaWheel,
  part: string,
  pip: PipPython,
  run: RunPython,
): Promise<void> {
  const scratch = join(part, 'pip')
  await rm(scratch, { recursive: true, force: true })
  await mkdir(join(scratch, 'tmp'), { recursive: true })
  const file = await download(wheel, scratch, pip, run)
  const args = ['-I', '-c', UNPACK_SCRIPT, file, wheel.sha256, part, ...wheel.take]
  const { code, output } = await run(pip.python, args)
  if (code !== 0) {
    const message = `${wheel.project} cannot be unpacked: ${output.trim().split('\n').at(-1)}`
    throw new NnclrError('IO', wheel.project, message)
  }
  const sizes = output.matchAll(/^(\d+) (.+)$/gm)
  const files = Object.fromEntries([...sizes].map(([, size, path]) => [path, Number(size)]))
  const journal = { ...(await readJournal(part)), [wheel.sha256]: files }
  await writeFileAtomic(join(part, JOURNAL), `${JSON.stringify(journal)}\n`)
  await rm(scratch, { recursive: true, force: true })
}

/** Fetches one wheel into `scratch`; pip refuses it when the checksum differs. */
async function download(
  wheel: CudaWheel,
  scratch: string,
  { python, resumeFlags }: PipPython,
  run: RunPython,
): Promise<string> {
  const requirements = join(scratch, 'requirements.txt')
  await writeFile(
    requirements,
    `${wheel.project}==${wheel.version} --hash=sha256:${wheel.sha256}\n`,
  )
  const args = [
    ...['-m', 'pip', 'download', '--quiet', '--no-deps', '--no-cache-dir', '--no-input'],
    ...['--disable-pip-version-check', '--only-binary=:all:', '--require-hashes', ...resumeFlags],
    ...['--implementation', 'cp', '--python-version', '3.11', '--abi', 'cp311', '--abi', 'none'],
    ...wheel.tags.flatMap((tag) => ['--platform', tag]),
    ...['--requirement', requirements, '--dest', join(scratch, 'wheels')],
  ]
  // pip's temporary files belong beside the target: its default may be a small memory disk.
  const tmp = join(scratch, 'tmp')
  const env = { TMPDIR: tmp, TEMP: tmp, TMP: tmp, PIP_REQUIRE_VIRTUALENV: 'false' }
  const { code, output } = await run(python, args, env)
  const [file] = await readdir(join(scratch, 'wheels')).catch(() => [])
  if (code !== 0 || file === undefined) {
    const remedy =
      'check the network and the settings of pip and run it again: it goes on from here'
    const message = `${wheel.project} ${wheel.version} cannot be fetched (${pipReason(output)}): ${remedy}`
    throw new NnclrError('IO', wheel.project, message)
  }
  return join(scratch, 'wheels', file)
}

async function readJournal(folder: string): Promise<Journal> {
  try {
    return JSON.parse(await readFile(join(folder, JOURNAL), 'utf8')) as Journal
  } catch {
    // Not begun, or damaged: everything is fetched anew.
    return {}
  }
}

/** Checksums of the wheels whose files are all there in full length. */
async function finishedWheels(folder: string): Promise<Set<string>> {
  const finished = new Set<string>()
  for (const [sha256, files] of Object.entries(await readJournal(folder))) {
    const whole = await Promise.all(
      Object.entries(files).map(async ([path, size]) => {
        const found = await stat(join(folder, path)).catch(() => null)
        return found?.size === size
      }),
    )
    if (whole.every(Boolean)) finished.add(sha256)
  }
  return finished
}

/** The unpacked files and, one at a time, a wheel and pip's copy of it. */
async function checkRoom(
  parent: string,
  pins: CudaPins,
  missing: readonly CudaWheel[],
): Promise<void> {
  const total = pins.wheels.reduce((sum, { bytes }) => sum + bytes, 0)
  const open = missing.reduce((sum, { bytes }) => sum + bytes, 0)
  const largest = Math.max(...missing.map(({ bytes }) => bytes), 0)
  const needed = (pins.unpackedBytes * open) / total + 2 * largest
  const { bavail, bsize } = await statfs(parent)
  if (bavail * bsize >= needed) return
  const inGb = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`
  const message = `${inGb(needed)} are needed in ${parent}, ${inGb(bavail * bsize)} are free`
  throw new NnclrError('IO', parent, message)
}
