/** The reference's Python environment: found, or made in the cache. */

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder, findPython, runCommand, withLock } from './setup-tools.js'

const FOLDER = fileURLToPath(new URL('peer', import.meta.url))
const REQUIREMENTS = join(FOLDER, 'requirements.txt')

/** A Python with lightly. */
export interface Peer {
  /** Its interpreter. */
  readonly python: string
  /** Versions by package, `python` among them. */
  readonly versions: Readonly<Record<string, string>>
  /** Packages that are not what requirements.txt names. */
  readonly notes: readonly string[]
}

/**
 * The environment that `NNCLR_PEER` names, else one in the cache, which is made when it is not there:
 * about 6 GB with PyTorch's CUDA libraries, once for all clones.
 *
 * @throws Error when Python is missing or pip fails.
 */
export async function openPeer(say: (line: string) => void): Promise<Peer> {
  const own = process.env['NNCLR_PEER']
  const python = own ? interpreterIn(resolve(own)) : await made(say)
  const { code, output } = await runCommand(python, [join(FOLDER, 'versions.py')])
  if (code !== 0) throw new Error(`${python} is not the reference's environment: ${output.trim()}`)
  const versions = JSON.parse(output.trim().split('\n').at(-1) ?? '{}') as Record<string, string>
  return { python, versions, notes: differences(await readFile(REQUIREMENTS, 'utf8'), versions) }
}

/** What differs between requirements.txt and what is installed, in words. */
export function differences(
  requirements: string,
  versions: Readonly<Record<string, string>>,
): string[] {
  return [...requirements.matchAll(/^([\w-]+)==(\S+)$/gm)].flatMap(([, name = '', wanted]) => {
    // PyTorch's builds add the device: 2.13.0+cpu.
    const found = versions[name]?.split('+')[0]
    return found === wanted ? [] : [`the reference runs with ${name} ${found}, not ${wanted}`]
  })
}

function interpreterIn(environment: string): string {
  return process.platform === 'win32'
    ? join(environment, 'Scripts', 'python.exe')
    : join(environment, 'bin', 'python')
}

async function made(say: (line: string) => void): Promise<string> {
  const requirements = await readFile(REQUIREMENTS)
  const name = createHash('sha256').update(requirements).digest('hex').slice(0, 12)
  const folder = join(cacheFolder(), `peer-${name}`)
  const complete = join(folder, 'complete')
  const onWait = (holder: string): void => say(`waiting for ${holder}`)
  await withLock(
    `${folder}.lock`,
    async () => {
      if (existsSync(complete)) return
      say(`installing the reference into ${folder}: some GB, once`)
      // What an interrupted installation left.
      await rm(folder, { recursive: true, force: true })
      const python = findPython()
      if (python === null) throw new Error('Python 3 is missing: install it and run again')
      await mustRun(python, ['-m', 'venv', folder])
      const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '-r', REQUIREMENTS]
      await mustRun(interpreterIn(folder), pip)
      await writeFile(complete, '')
    },
    { onWait },
  )
  return interpreterIn(folder)
}

async function mustRun(command: string, words: string[]): Promise<void> {
  const { code, output } = await runCommand(command, words)
  if (code === 0) return
  const tail = output.trim().split('\n').slice(-5).join('\n')
  throw new Error(`${command} ${words.join(' ')} ended with ${code}:\n${tail}`)
}
