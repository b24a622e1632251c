// The steps of a release, in order: first what is checked, then what is written. Each can be looked at without harm.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { neededGlibc } from '../pack/elf.mjs'
import { packAll } from '../pack/main.mjs'
import { PLATFORMS } from '../pack/platforms.mjs'
import { dated, section } from './changelog.mjs'
import { checkClean, command, git } from './commands.mjs'
import { inOrder, readPackage } from './packages.mjs'
import { publishAll } from './publish.mjs'
import { repositoryUrl } from './repository.mjs'
import { differences } from './versions.mjs'
import { writingSteps } from './writing-steps.mjs'

/**
 * @param {string} root @param {string} version
 * @returns {import('./run-steps.mjs').Step[]} in order
 */
export function releaseSteps(root, version) {
  const today = new Date().toISOString().slice(0, 10)
  return [
    ...stateSteps(root, version, today),
    command(
      root,
      'licences and checksums of dependencies',
      ['node', 'scripts/check-dependencies.mjs'],
      true,
    ),
    command(root, 'all checks', ['npm', 'run', 'check']),
    command(root, 'all tests', ['npm', 'test']),
    command(root, 'the packages in use', ['npm', 'run', 'test:packages']),
    ...packSteps(root, version),
    ...writingSteps(root, version, today),
  ]
}

/** What must be so before minutes of tests are worth it. */
function stateSteps(root, version, today) {
  const read = (file) => readFileSync(join(root, file), 'utf8')
  return [
    {
      name: 'the work tree is clean and on main',
      look: () => {
        const branch = git(root, 'rev-parse', '--abbrev-ref', 'HEAD')
        if (branch !== 'main') throw new Error(`the branch is ${branch}, expected main`)
        checkClean(root)
        return 'yes'
      },
    },
    {
      name: `the tag v${version} is new, here and at origin`,
      look: () => {
        const tag = `v${version}`
        if (git(root, 'tag', '--list', tag)) throw new Error('there is such a tag')
        if (git(root, 'ls-remote', '--tags', 'origin', tag))
          throw new Error('origin has such a tag')
        return 'yes'
      },
    },
    {
      name: 'package.json names the repository, which provenance needs',
      look: () => repositoryUrl(JSON.parse(read('package.json'))),
    },
    {
      name: 'one version in every manifest and lockfile',
      look: () => {
        const found = differences(root, version)
        return found.length === 0
          ? `${version} everywhere`
          : found.map((one) => `${one.file}: ${one.found} becomes ${version}`).join('; ')
      },
    },
    {
      name: 'the changelog has a section without a date yet',
      look: () => {
        const lines = section(read('CHANGELOG.md'), version).split('\n')
        dated(read('CHANGELOG.md'), version, today)
        return `${lines.filter((line) => line.startsWith('- ')).length} entries, ${today}`
      },
    },
  ]
}

/** This system's packages, of the new version; the workflow packs those that are published. */
function packSteps(root, version) {
  let tarballs = []
  return [
    {
      name: 'pack, with sizes and checksums',
      look: () => {
        tarballs = packAll(root, { version })
        const sums = readFileSync(join(root, 'dist-packages/SHA256SUMS'), 'utf8')
        return `dist-packages/SHA256SUMS:\n${sums.trimEnd()}`
      },
    },
    {
      name: 'glibc that the addon needs',
      look: () => glibcNote(root),
    },
    {
      name: 'npm takes the packages, in this order: its own rehearsal',
      look: () => {
        publishAll(inOrder(tarballs.map(({ path }) => readPackage(path))), { dryRun: true })
        const missing = PLATFORMS.filter(({ built }) => !built).map(({ name }) => name)
        return `the workflow publishes the same with --provenance, which npm grants to it alone\nleft out, not yet built: ${missing.join(', ')}`
      },
    },
  ]
}

/** A release's addon is linked where glibc is old; one of this machine may ask for more. */
function glibcNote(root) {
  if (process.platform !== 'linux') return 'not on Linux'
  const path = join(root, 'dist-packages/stage/addon', `nnclr.${PLATFORMS[0].name}.node`)
  const needed = neededGlibc(readFileSync(path))
  return needed === '2.28'
    ? needed
    : `${needed} when built on this machine; the workflow builds where it is 2.28`
}
