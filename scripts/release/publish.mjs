// Publishes tarballs in the order in which they ask for each other. Run by .github/workflows/release.yml.
//
//     node scripts/release/publish.mjs FOLDER
//     node scripts/release/publish.mjs --dry-run FOLDER             npm's own rehearsal of each
//     node scripts/release/publish.mjs --without-provenance FOLDER  by hand: a package's very first version
//
// What the registry already has is left alone, so that a run that broke off goes on.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { npmCommand } from '../setup/packages.mjs'
import { packagesIn } from './packages.mjs'
import { repositoryUrl } from './repository.mjs'
import { verdict } from './verdict.mjs'

/** @typedef {{ dryRun?: boolean, provenance?: boolean }} How */

/**
 * The words for npm.
 * @param {{ path: string, version: string }} one its path absolute: npm takes `folder/x.tgz` for a repository
 * @param {How} [how]
 */
export function publishWords({ path, version }, { dryRun = false, provenance = !dryRun } = {}) {
  // A version with a hyphen must not become what everybody gets.
  const tag = version.includes('-') ? 'next' : 'latest'
  const words = ['publish', path, '--access', 'public', '--tag', tag, '--ignore-scripts']
  if (provenance) words.push('--provenance')
  // Without its list of all files, in which the steps around it are not found again.
  if (dryRun) words.push('--loglevel=warn', '--dry-run')
  return words
}

/**
 * @param {import('./packages.mjs').Package[]} packages in the order of publishing
 * @param {How} [how]
 */
export function publishAll(packages, { dryRun = false, provenance = !dryRun } = {}) {
  // Before the first goes out: half a release helps nobody.
  if (provenance) for (const { manifest } of packages) repositoryUrl(manifest)
  for (const one of packages) {
    const { what, why } = verdict(one, onRegistry(one))
    // Between two releases a rehearsal meets the last one's version. Libraries have to fit even then.
    if (what === 'refuse' && (!dryRun || one.manifest.nnclr?.sha256)) throw new Error(why)
    console.log(what === 'refuse' ? `a release would stop: ${why}` : why)
    if (what !== 'publish') continue
    const words = publishWords(one, { dryRun, provenance })
    console.log(`npm ${words.join(' ')}`)
    if (npm(words, 'inherit').status !== 0)
      throw new Error(`npm did not take ${one.name}@${one.version}`)
  }
}

/** The manifest that the registry has of this version, null when it has none. */
function onRegistry({ name, version }) {
  const { stdout, stderr } = npm(['view', `${name}@${version}`, '--json'], 'pipe')
  const answer = parsed(stdout)
  if (answer?.error?.code === 'E404') return null
  // npm 12 gives a list.
  const [manifest] = [answer].flat()
  if (manifest?.dist) return manifest
  // No answer is not the answer that there is none.
  throw new Error(
    `the registry does not tell whether it has ${name}@${version}: ${stderr || stdout}`,
  )
}

function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function npm(args, stdio) {
  const [command, first] = npmCommand()
  return spawnSync(command, [...first, ...args], {
    encoding: 'utf8',
    stdio,
    // A registry's document of all versions outgrows the megabyte that is allowed otherwise.
    maxBuffer: 1 << 28,
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const { values, positionals } = parseArgs({
      options: { 'dry-run': { type: 'boolean' }, 'without-provenance': { type: 'boolean' } },
      allowPositionals: true,
    })
    const dryRun = values['dry-run'] ?? false
    const provenance = !dryRun && !values['without-provenance']
    publishAll(packagesIn(positionals[0] ?? 'dist-packages'), { dryRun, provenance })
  } catch (error) {
    console.error(`publish: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  }
}
