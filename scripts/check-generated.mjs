// The generated loader and typings of the addon are committed: they must be what the sources give.
// The set-up before this check has just written them anew if anything they are made of had changed.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FILES = ['ts/binding/index.cjs', 'ts/binding/index.d.cts']

const git = (...args) => spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' })

const tracked = git('ls-files', '--error-unmatch', ...FILES)
const changed = git('diff', '--stat', '--exit-code', '--', ...FILES)
if (tracked.status !== 0) {
  console.error(`check-generated: ${FILES.join(' and ')} must be in git: add them`)
  process.exitCode = 1
} else if (changed.status !== 0) {
  console.error(
    `${changed.stdout}check-generated: the files above are newer than git's: look at them and add them`,
  )
  process.exitCode = 1
}
