// The set-up's steps in order. Each looks first whether there is anything to do.
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { addonIsFresh, buildAddon } from './addon.mjs'
import { cacheFolder } from './cache.mjs'
import { SetupError } from './errors.mjs'
import { ensureLibtorch, isComplete, libtorchFolder } from './libtorch.mjs'
import { isLinked, linkLibtorch } from './link.mjs'
import { withLock } from './lock.mjs'
import { checkOverride } from './override.mjs'
import { installPackages, packagesInstalled } from './packages.mjs'
import { pinsFor } from './pins.mjs'
import { say } from './progress.mjs'
import { assemblyProblems, compilerProblems } from './requirements.mjs'
import { buildTypescript, typescriptIsFresh } from './typescript.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/[/\\]$/, '')

/**
 * @param {string[]} options `--verify` reads every byte of libtorch and repairs it; `--libtorch` stops after it
 * @returns {Promise<number>} exit code
 */
export async function main(options) {
  // Leaving through exit() runs the clean-ups of locks, temporary folders and children.
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ]) {
    process.once(signal, () => process.exit(code))
  }
  try {
    await setUp(new Set(options))
    return 0
  } catch (error) {
    if (error instanceof SetupError) for (const problem of error.problems) say(problem)
    else console.error('set-up:', error)
    return 1
  }
}

async function setUp(options) {
  if (process.env.LIBTORCH === '') delete process.env.LIBTORCH // cargo would take it for a path
  const plan = makePlan(options)
  if (plan.problems.length > 0) throw new SetupError(plan.problems)
  if (plan.done) return
  const folder = plan.pins
    ? await ensureLibtorch(plan.cache, plan.pins, { thorough: plan.thorough })
    : plan.folder
  if (options.has('--libtorch')) return
  await withLock(
    join(ROOT, '.setup', 'lock'),
    async () => {
      if (plan.pins) linkLibtorch(ROOT, folder)
      if (!packagesInstalled(ROOT)) await installPackages(ROOT)
      if (!addonIsFresh(ROOT, folder)) await buildAddon(ROOT, folder)
      if (!typescriptIsFresh(ROOT)) await buildTypescript(ROOT)
    },
    { onWait: (holder) => say(`waiting for ${holder}, which sets this clone up`) },
  )
}

/** What is to be done, and everything that stands in its way, before any of it starts. */
function makePlan(options) {
  const own = process.env.LIBTORCH
  if (own) checkOverride(resolve(ROOT, own))
  const pins = own ? null : pinsFor(`${process.platform}-${process.arch}`)
  const cache = cacheFolder()
  const thorough = options.has('--verify')
  const folder = pins ? libtorchFolder(cache, pins) : resolve(ROOT, own)
  const assemble = pins !== null && !isComplete(folder, pins, { thorough })
  const build = !options.has('--libtorch') && !addonIsFresh(ROOT, folder)
  const problems = [
    ...(build ? compilerProblems(ROOT) : []),
    ...(assemble ? assemblyProblems(cache) : []),
  ]
  const linked = pins === null || isLinked(ROOT, folder)
  const done = !assemble && !build && linked && packagesInstalled(ROOT) && typescriptIsFresh(ROOT)
  return { pins, cache, folder, thorough, problems, done }
}
