// No source file over 400 lines: whoever opens one can read it in one sitting.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LIMIT = 400
const SOURCE = /\.(rs|ts|mts|mjs|js|py|h|cpp|sh)$/
const GENERATED = /^ts\/binding\//

// Files of the work tree, new ones included, ignored ones not.
const { status, stdout } = spawnSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
  {
    cwd: ROOT,
    encoding: 'utf8',
  },
)
if (status !== 0) {
  console.error('check-lengths: git cannot list the files')
  process.exit(1)
}
const tooLong = stdout
  .split('\0')
  .filter((name) => SOURCE.test(name) && !GENERATED.test(name) && existsSync(join(ROOT, name)))
  .map((name) => ({ name, lines: readFileSync(join(ROOT, name), 'utf8').split('\n').length - 1 }))
  .filter(({ lines }) => lines > LIMIT)

for (const { name, lines } of tooLong)
  console.error(`${name} has ${lines} lines, at most ${LIMIT} are allowed: split it`)
process.exitCode = tooLong.length === 0 ? 0 : 1
