// Everything but the tests that must be green: formatters, linters, types, dependencies, generated files.
// All checks run, so that one call shows every problem. `npm run check -- WORD` runs those whose name holds WORD.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hostTarget } from './setup/host-target.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const bin = (name) =>
  join(ROOT, 'node_modules', '.bin', process.platform === 'win32' ? `${name}.cmd` : name)
const script = (name) => [process.execPath, join(ROOT, 'scripts', name)]

// The addon's profile and target throughout: its build of libtorch's bindings serves all of them.
const BUILD = ['--release', '--target', hostTarget()]
/** @type {[string, string[], Record<string, string>?][]} */
const CHECKS = [
  ['biome', [bin('biome'), 'ci', '--error-on-warnings', '.']],
  ['rustfmt', ['cargo', 'fmt', '--all', '--check']],
  ['types', [bin('tsc'), '--noEmit']],
  ['lengths', script('check-lengths.mjs')],
  ['dependencies', script('check-dependencies.mjs')],
  ['generated', script('check-generated.mjs')],
  // The tests are checked without the binding: in a test build napi exports nothing.
  ['clippy', ['cargo', 'clippy', ...BUILD, '--lib', '--', '-D', 'warnings']],
  [
    'no-binding',
    ['cargo', 'clippy', ...BUILD, '--all-targets', '--no-default-features', '--', '-D', 'warnings'],
  ],
  ['rustdoc', ['cargo', 'doc', ...BUILD, '--no-deps'], { RUSTDOCFLAGS: '-D warnings' }],
]

const chosen = CHECKS.filter(([name]) => process.argv.slice(2).every((word) => name.includes(word)))
const failed = chosen.filter(([name, [command, ...args], env]) => {
  console.log(`check: ${name}`)
  const { status, error } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
    shell: command.endsWith('.cmd'),
  })
  if (error) console.error(`check: ${command}: ${error.message}`)
  return status !== 0
})

const names = failed.map(([name]) => name).join(', ')
console.log(failed.length === 0 ? `check: all ${chosen.length} passed` : `check: failed: ${names}`)
process.exitCode = failed.length === 0 && chosen.length > 0 ? 0 : 1
