// The TypeScript layer: compiled to dist/, with the addon and its typings beside it.
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SetupError } from './errors.mjs'
import { npmCommand } from './packages.mjs'
import { startProgress } from './progress.mjs'
import { runCommand } from './run-command.mjs'
import { digest, forget, isFresh, listFiles, remember } from './stamp.mjs'

const STAMP = '.setup/typescript.json'
const INPUTS = [
  'ts',
  'tsconfig.json',
  'tsconfig.build.json',
  'node_modules/typescript/package.json',
]
/** tsc neither compiles nor copies these. */
const COPIED = /\.(cjs|d\.cts|node)$/

/** @param {string} root */
export function typescriptIsFresh(root) {
  return isFresh(join(root, STAMP), digest(root, INPUTS), () => digest(root, ['dist']))
}

/** @param {string} root */
export async function buildTypescript(root) {
  if (!existsSync(join(root, 'ts', 'index.ts')))
    throw new SetupError('ts/index.ts is missing: the clone is incomplete.')
  forget(join(root, STAMP))
  const before = digest(root, INPUTS)
  const done = startProgress('building the TypeScript')
  // Files of deleted sources must not stay behind.
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const [command, args] = npmCommand()
  const { code, output } = await runCommand(command, [...args, 'run', '--silent', 'build:ts'], {
    cwd: root,
  })
  if (code !== 0) {
    done('failed')
    process.stderr.write(`${output.trim()}\n`)
    throw new SetupError("the TypeScript could not be built: the compiler's report is above.")
  }
  for (const name of listFiles(root, 'ts').filter((file) => COPIED.test(file))) {
    const target = join(root, name.replace(/^ts\//, 'dist/'))
    mkdirSync(join(target, '..'), { recursive: true })
    cpSync(join(root, name), target)
  }
  done()
  remember(join(root, STAMP), before, digest(root, ['dist']))
}
