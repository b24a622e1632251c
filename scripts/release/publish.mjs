// Publishes tarballs in the order in which they ask for each other. Run by .github/workflows/release.yml.
//
//     node scripts/release/publish.mjs [--dry-run] FOLDER
//
// What the registry already has with the same content is left alone, so that a run that broke off goes on.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { npmCommand } from '../setup/packages.mjs'

/** Whoever installs while we publish must never see a package whose dependency is not there yet. */
const ORDER = [/^@nnclr\/libtorch-/, /^@nnclr\//, /^nnclr$/]

/**
 * @typedef {{ name: string, version: string, path: string, integrity: string }} Package
 */

/** The tarballs of a folder in the order of publishing. @param {string} folder @returns {Package[]} */
export function packagesIn(folder) {
  const paths = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  const packages = paths.map((name) => read(join(folder, name)))
  const rank = ({ name }) => ORDER.findIndex((pattern) => pattern.test(name))
  return packages.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
}

/** The words for npm. A version with a hyphen must not become what everybody gets. */
export function publishWords({ path, version }) {
  const tag = version.includes('-') ? 'next' : 'latest'
  return ['publish', path, '--access', 'public', '--provenance', '--tag', tag, '--ignore-scripts']
}

function read(path) {
  const words = ['-xzOf', path, 'package/package.json']
  const { status, stdout, stderr } = spawnSync('tar', words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${path} holds no package: ${stderr}`)
  const { name, version } = JSON.parse(stdout)
  const hash = createHash('sha512').update(readFileSync(path)).digest('base64')
  return { name, version, path, integrity: `sha512-${hash}` }
}

function npm(args, stdio) {
  const [command, first] = npmCommand()
  return spawnSync(command, [...first, ...args], { encoding: 'utf8', stdio })
}

function publish(one, dryRun) {
  const spec = `${one.name}@${one.version}`
  const words = publishWords(one)
  if (dryRun) return console.log(`would run: npm ${words.join(' ')}`)
  const there = npm(['view', spec, 'dist.integrity'], 'pipe').stdout.trim()
  if (there === one.integrity) return console.log(`${spec} is published already`)
  if (there !== '') {
    // libtorch's version is libtorch's, so that its content must not change under it.
    throw new Error(`${spec} is published with other content: ${there}, here ${one.integrity}`)
  }
  console.log(`npm ${words.join(' ')}`)
  if (npm(words, 'inherit').status !== 0) throw new Error(`${spec} could not be published`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2)
  const folder = args.find((word) => !word.startsWith('--')) ?? 'dist-packages'
  try {
    for (const one of packagesIn(folder)) publish(one, args.includes('--dry-run'))
  } catch (error) {
    console.error(`publish: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  }
}
