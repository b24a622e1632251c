// Is the test suite awake? `npm run faults` puts ten faults in, one at a time, and shows which test turns red.
//
//     npm run faults                 all
//     npm run faults -- bank         those whose name holds the word
//     npm run faults -- --fit        only whether each fault still fits the sources
//     npm run faults -- --every      all tests that should see a fault, not only the first that does
//
// It works on a copy beside libtorch in the cache; the work tree is only read.
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { copyTree, environment, withChange } from './faults/copy.mjs'
import { withFault } from './faults/edit.mjs'
import { label, Runner } from './faults/run-tests.mjs'
import { FAULTS } from './faults/table.mjs'
import { cacheFolder } from './setup/cache.mjs'
import { withLock } from './setup/lock.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')
const options = process.argv.slice(2).filter((word) => word.startsWith('--'))
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const chosen = FAULTS.filter(({ name }) => words.every((word) => name.includes(word)))

process.exitCode =
  chosen.length > 0 && allFit() && (options.includes('--fit') || (await main())) ? 0 : 1

/** Whether every fault can be put in, looked at without writing. */
function allFit() {
  const misfits = chosen.filter(({ name, file, edits }) => {
    try {
      withFault(readFileSync(join(ROOT, file), 'utf8'), edits)
      return false
    } catch (error) {
      console.error(`faults: ${name}: ${file}: ${error.message}; mend scripts/faults/table.mjs`)
      return true
    }
  })
  if (misfits.length === 0) console.log(`faults: ${chosen.length} fit the sources`)
  return misfits.length === 0
}

function main() {
  const copy = join(cacheFolder(), 'faults')
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.once(signal, () => process.exit(130))
  const onWait = (holder) => console.log(`faults: waiting for ${holder}`)
  return withLock(`${copy}.lock`, () => campaign(copy), { onWait })
}

async function campaign(copy) {
  process.once('exit', () =>
    rmSync(copy, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }),
  )
  console.log(`faults: copying the work tree to ${copy}`)
  await copyTree(ROOT, copy)
  const runner = new Runner(copy, environment(ROOT))
  if (!(await isGreen(runner))) return false
  const problems = []
  for (const [i, fault] of chosen.entries()) {
    console.log(`\nfaults: ${i + 1} of ${chosen.length}: ${fault.name} (${fault.file})`)
    const change = (text) => withFault(text, fault.edits)
    try {
      const red = await withChange(copy, fault.file, change, () => redTests(runner, fault))
      if (red.length === 0) problems.push(`NO TEST SEES: ${fault.name}`)
    } catch (error) {
      console.error(error.message)
      problems.push(`does not run: ${fault.name}; mend scripts/faults/table.mjs`)
    }
  }
  console.log(`\nfaults: ${chosen.length - problems.length} of ${chosen.length} turn a test red`)
  for (const problem of problems) console.error(`faults: ${problem}`)
  return problems.length === 0
}

/** A test that is red without a fault would see everything. */
async function isGreen(runner) {
  console.log('\nfaults: without a fault')
  const tests = new Map(chosen.flatMap(({ tests }) => tests).map((test) => [label(test), test]))
  let green = true
  for (const [name, test] of tests) {
    const { passed, output } = await timed(name, () => runner.run(test, 'work tree'))
    if (!passed) console.error(output)
    green &&= passed
  }
  return green
}

/** Runs the fault's tests up to the first red one, or all of them with `--every`. */
async function redTests(runner, fault) {
  const sources = fault.file.startsWith('crate/') ? fault.name : 'work tree'
  const red = []
  for (const test of fault.tests) {
    const { passed } = await timed(label(test), () => runner.run(test, sources))
    if (!passed) red.push(test)
    if (red.length > 0 && !options.includes('--every')) break
  }
  return red
}

async function timed(name, work) {
  const start = performance.now()
  const result = await work()
  const seconds = ((performance.now() - start) / 1000).toFixed(0)
  console.log(`  ${result.passed ? 'green' : 'RED  '} ${name} (${seconds} s)`)
  if (!result.passed) console.log(`        ${result.reason}`)
  return result
}
