// All tests: the crate's by cargo, the TypeScript's by ava. The last line is the sum: `N passed, N failed`.
// `npm test -- --rust` or `npm test -- --typescript` runs one side; further words go to that side's runner.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { hostTarget } from './setup/host-target.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const AVA = fileURLToPath(new URL('../node_modules/ava/entrypoints/cli.mjs', import.meta.url))

const words = process.argv.slice(2)
const sides =
  words[0] === '--rust' || words[0] === '--typescript'
    ? [words.shift()]
    : ['--rust', '--typescript']
if (sides.length === 2 && words.length > 0) {
  console.error('test: say --rust or --typescript before words for a runner')
  process.exit(1)
}

const total = { passed: 0, failed: 0 }
for (const side of sides) {
  const { passed, failed } = side === '--rust' ? await rust(words) : await typescript(words)
  total.passed += passed
  total.failed += failed
}
if (total.passed + total.failed === 0) console.error('test: no test ran')
console.log(`\n${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0

/**
 * The addon's profile, so that libtorch's bindings are built once; without its napi feature, so that neither
 * build makes the other one stale. binding/ is tested from TypeScript.
 */
async function rust(extra) {
  const counts = { passed: 0, failed: 0 }
  const target = ['--release', '--target', hostTarget()]
  const args = ['test', ...target, '--no-default-features', '--no-fail-fast', ...extra]
  const code = await run('cargo', args, (line) => {
    const found = /^test result: .*? (\d+) passed; (\d+) failed;/.exec(line)
    if (!found) return
    counts.passed += Number(found[1])
    counts.failed += Number(found[2])
  })
  return settled(counts, code, 'cargo test')
}

async function typescript(extra) {
  const counts = { passed: 0, failed: 0 }
  const code = await run(process.execPath, [AVA, '--tap', ...extra], (line) => {
    // `ok` lines of skipped and todo tests are no passes.
    if (/^ok \d+/.test(line) && !/ # (SKIP|TODO)/i.test(line)) counts.passed += 1
    if (/^not ok \d+/.test(line) && !/ # TODO/i.test(line)) counts.failed += 1
  })
  return settled(counts, code, 'ava')
}

/** A runner that fails without naming a test (it did not compile, it crashed) is a failure too. */
function settled(counts, code, name) {
  if (code !== 0 && counts.failed === 0) {
    console.error(`test: ${name} ended with code ${code} and no failed test`)
    counts.failed = 1
  }
  return counts
}

function run(command, args, onLine) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      process.stdout.write(chunk)
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line)
    })
    child.on('error', (error) => {
      console.error(`test: ${command}: ${error.message}`)
      resolve(127)
    })
    child.on('close', (code) => {
      if (rest) onLine(rest)
      resolve(code ?? 1)
    })
  })
}
