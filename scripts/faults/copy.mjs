// A copy of the work tree to put faults into, with a build folder of its own.
//
// The build folder cannot be shared: cargo would take what it built from the copy's faulty sources for the
// work tree's, as both have the same name in it. A copy of it keeps libtorch's bindings, four minutes' work.
import {
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { runCommand } from '../setup/run-command.mjs'

/**
 * @param {string} root
 * @param {string} copy a folder that is replaced
 */
export async function copyTree(root, copy) {
  const words = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const { code, output } = await runCommand('git', words, { cwd: root })
  if (code !== 0) throw new Error(`git cannot list the files: ${output.trim()}`)
  rmSync(copy, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  mkdirSync(copy, { recursive: true })
  for (const name of output.split('\0').filter((file) => file && existsSync(join(root, file)))) {
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction')
  if (existsSync(join(root, '.libtorch'))) {
    symlinkSync(join(root, '.libtorch'), join(copy, '.libtorch'), 'junction')
  }
  const built = process.env.CARGO_TARGET_DIR || join(root, 'target')
  if (!existsSync(built)) return
  cpSync(built, join(copy, 'target'), {
    recursive: true,
    mode: constants.COPYFILE_FICLONE,
    preserveTimestamps: true, // cargo compares them
    filter: (path) => basename(path) !== 'incremental',
  })
}

/** The copy's own build folder, and libtorch where it was when the build folder was filled. */
export function environment(root) {
  const { CARGO_TARGET_DIR: _, ...env } = process.env
  const libtorch = env.LIBTORCH || join(root, '.libtorch', 'torch')
  return { ...env, LIBTORCH: libtorch, CARGO_INCREMENTAL: '1' }
}

/** Changes a file of the copy while `work` runs. */
export async function withChange(copy, file, change, work) {
  const path = join(copy, file)
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, change(text))
  try {
    return await work()
  } finally {
    writeFileSync(path, text) // A new time: cargo builds it anew.
  }
}
