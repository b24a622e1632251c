// The steps of a release, in order. Each can be looked at without harm.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { neededGlibc } from '../pack/elf.mjs'
import { packAll } from '../pack/main.mjs'
import { PLATFORMS } from '../pack/platforms.mjs'
import { npmCommand } from '../setup/packages.mjs'
import { dated, section } from './changelog.mjs'
import { packagesIn, publishWords } from './publish.mjs'
import { differences, writeVersion } from './versions.mjs'

/**
 * @typedef {object} Step
 * @property {string} name what it does
 * @property {() => string} look does no harm; says what is so or would be done, throws a reason to stop
 * @property {() => void} [act] does it
 */

/**
 * @param {string} root @param {string} version
 * @returns {Step[]} in order
 */
export function releaseSteps(root, version) {
  const read = (file) => readFileSync(join(root, file), 'utf8')
  const today = new Date().toISOString().slice(0, 10)
  return [
    {
      name: 'the work tree is clean and on main',
      look: () => {
        const branch = git(root, 'rev-parse', '--abbrev-ref', 'HEAD')
        if (branch !== 'main') throw new Error(`the branch is ${branch}, expected main`)
        const changed = git(root, 'status', '--porcelain').split('\n').filter(Boolean)
        if (changed.length > 0) throw new Error(`${changed.length} files are not committed`)
        return 'yes'
      },
    },
    {
      name: `the tag v${version} is new`,
      look: () => {
        if (git(root, 'tag', '--list', `v${version}`)) throw new Error('there is such a tag')
        return 'yes'
      },
    },
    {
      name: 'package.json names the repository, which provenance needs',
      look: () => {
        const { repository } = JSON.parse(read('package.json'))
        if (!repository) throw new Error('it has no field "repository"')
        return JSON.stringify(repository)
      },
    },
    {
      name: 'one version in every manifest and lockfile',
      look: () => {
        const found = differences(root, version)
        return found.length === 0
          ? `${version} everywhere`
          : found.map((one) => `${one.file}: ${one.found} becomes ${version}`).join('; ')
      },
      act: () => writeVersion(root, version),
    },
    {
      name: 'the changelog has a section, which gets its date',
      look: () => {
        const lines = section(read('CHANGELOG.md'), version).split('\n')
        dated(read('CHANGELOG.md'), version, today)
        return `${lines.filter((line) => line.startsWith('- ')).length} entries, ${today}`
      },
      act: () =>
        writeFileSync(join(root, 'CHANGELOG.md'), dated(read('CHANGELOG.md'), version, today)),
    },
    command(
      root,
      'licences and checksums of dependencies',
      ['node', 'scripts/check-dependencies.mjs'],
      true,
    ),
    command(root, 'all checks', ['npm', 'run', 'check']),
    command(root, 'all tests', ['npm', 'test']),
    command(root, 'the packages in use', ['npm', 'run', 'test:packages']),
    {
      name: 'pack, with sizes and checksums',
      look: () => {
        packAll(root, { version })
        return `dist-packages/SHA256SUMS:\n${read('dist-packages/SHA256SUMS').trimEnd()}`
      },
    },
    {
      name: 'glibc that the addon needs',
      look: () => glibcNote(root),
    },
    command(root, 'commit', ['git', 'commit', '--all', '--message', `Release ${version}`]),
    command(root, 'tag', [
      'git',
      'tag',
      '--annotate',
      `v${version}`,
      '--message',
      `nnclr ${version}`,
    ]),
    command(root, 'push, which starts the workflow', [
      'git',
      'push',
      'origin',
      'main',
      `v${version}`,
    ]),
    {
      name: 'the workflow then packs on each system, attests and publishes, in this order',
      look: () => {
        const words = packagesIn(join(root, 'dist-packages')).map((one) =>
          publishWords(one).join(' '),
        )
        const missing = PLATFORMS.filter(({ built }) => !built).map(({ name }) => name)
        return [
          ...words.map((line) => `npm ${line.replace(`${root}/`, '')}`),
          `left out, not yet built: ${missing.join(', ')}`,
        ].join('\n')
      },
    },
  ]
}

/** A step that is another program; the harmless ones run in a rehearsal too. */
function command(root, name, words, harmless = false) {
  const line = words.join(' ')
  const act = () => {
    const [program, ...args] = words
    const [file, first] = program === 'npm' ? npmCommand() : [program, []]
    const { status } = spawnSync(file, [...first, ...args], { cwd: root, stdio: 'inherit' })
    if (status !== 0) throw new Error(`${line} failed`)
  }
  if (!harmless) return { name, look: () => `would run: ${line}`, act }
  const look = () => {
    act()
    return `ran: ${line}`
  }
  return { name, look }
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

function git(root, ...args) {
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`git ${args[0]}: ${stderr.trim().split('\n')[0]}`)
  return stdout.trim()
}
