// Fetches the pinned wheels with pip, which knows the user's index, proxy and certificates.
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { SetupError } from './errors.mjs'
import { startProgress } from './progress.mjs'
import { findPython } from './requirements.mjs'
import { runCommand } from './run-command.mjs'

const MEGABYTE = 1e6

/**
 * Downloads every wheel of `pins` into `folder`, each checked by pip against its sha256.
 * @param {import('./pins.mjs').Pins} pins @param {string} folder
 */
export async function download(pins, folder) {
  const python = findPython()
  if (python === null) throw new SetupError('Python 3 is missing: install it and run again.')
  const total = pins.wheels.reduce((sum, wheel) => sum + wheel.bytes, 0)
  // pip's temporary files belong beside the target: its default may be a small memory disk.
  const scratch = join(dirname(folder), 'pip')
  mkdirSync(scratch, { recursive: true })
  const done = startProgress(
    `downloading libtorch (${(total / MEGABYTE).toFixed(0)} MB, once for all clones)`,
    () => {
      const bytes = sizeOf(folder) + sizeOf(scratch)
      return `${(bytes / MEGABYTE).toFixed(0)} MB, ${Math.min(100, Math.floor((100 * bytes) / total))} %`
    },
  )
  for (const wheel of pins.wheels) {
    const problem = await downloadWheel(python, wheel, folder, scratch)
    if (problem !== null) {
      done('failed')
      throw new SetupError(
        `${wheel.project} ${wheel.version} could not be downloaded (${problem}): check the network and pip's settings and run again.`,
      )
    }
  }
  done()
}

/** @returns {Promise<string | null>} what went wrong */
async function downloadWheel(python, wheel, folder, scratch) {
  const requirements = join(scratch, 'requirements.txt')
  writeFileSync(requirements, `${wheel.project}==${wheel.version} --hash=sha256:${wheel.sha256}\n`)
  const args = [
    '-m',
    'pip',
    'download',
    '--quiet',
    '--no-deps',
    '--no-cache-dir',
    '--disable-pip-version-check',
    '--no-input',
    '--only-binary=:all:',
    '--implementation',
    'cp',
    '--python-version',
    '3.11',
    '--abi',
    'cp311',
    '--abi',
    'none',
    ...wheel.tags.flatMap((tag) => ['--platform', tag]),
    '--require-hashes',
    '--requirement',
    requirements,
    '--dest',
    folder,
  ]
  const env = {
    ...process.env,
    TMPDIR: scratch,
    TEMP: scratch,
    TMP: scratch,
    PIP_REQUIRE_VIRTUALENV: 'false',
  }
  const { code, output } = await runCommand(python, args, { env })
  if (code !== 0) return lastError(output)
  return null
}

function lastError(output) {
  const lines = output.trim().split('\n')
  const error = lines.findLast((line) => line.startsWith('ERROR')) ?? lines.at(-1) ?? ''
  return error.replace(/^ERROR:\s*/, '').slice(0, 300)
}

/** Bytes below a folder that changes while it is looked at. */
function sizeOf(folder) {
  let bytes = 0
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
      if (entry.isFile()) bytes += statSync(join(entry.parentPath ?? entry.path, entry.name)).size
    }
  } catch {
    // A file moved between listing and looking: the next tick counts it.
  }
  return bytes
}
