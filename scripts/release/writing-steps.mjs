// The steps that change something: files, commit, tag, push. They come after all checks, and each can be undone
// until the push is through.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { dated } from './changelog.mjs'
import { checkClean, command, git } from './commands.mjs'
import { differences, VERSION_FILES, writeVersion } from './versions.mjs'

const CHANGELOG = 'CHANGELOG.md'
const WRITTEN = [...VERSION_FILES, CHANGELOG]

/**
 * @param {string} root @param {string} version @param {string} date `2026-01-31`
 * @returns {import('./run-steps.mjs').Step[]} in order
 */
export function writingSteps(root, version, date) {
  return [
    writeFiles(root, version, date),
    commit(root, version),
    tag(root, version),
    // Both or neither.
    command(root, 'push, which starts the workflow', [
      'git',
      'push',
      '--atomic',
      'origin',
      'main',
      `v${version}`,
    ]),
  ]
}

function writeFiles(root, version, date) {
  /** @type {Map<string, string>} */
  const before = new Map()
  return {
    name: `write ${version} into every manifest and lockfile, and its date into the changelog`,
    look: () => {
      const files = differences(root, version).map(({ file }) => file)
      return `would write ${[...new Set([...files, CHANGELOG])].join(', ')}`
    },
    act: () => {
      // Checks and tests took their time, in which somebody may have gone on working.
      checkClean(root)
      for (const file of WRITTEN) before.set(file, readFileSync(join(root, file), 'utf8'))
      writeVersion(root, version)
      writeFileSync(join(root, CHANGELOG), dated(before.get(CHANGELOG) ?? '', version, date))
    },
    undo: () => {
      for (const [file, text] of before) writeFileSync(join(root, file), text)
    },
  }
}

function commit(root, version) {
  const words = ['git', 'commit', '--quiet', '--message', `Release ${version}`, '--', ...WRITTEN]
  const step = command(root, 'commit', words)
  let head = ''
  return {
    ...step,
    act: () => {
      head = git(root, 'rev-parse', 'HEAD')
      step.act()
    },
    // The files stay as they are; the step before restores them.
    undo: () => {
      if (head !== '') git(root, 'reset', '--quiet', head)
    },
  }
}

function tag(root, version) {
  const words = ['git', 'tag', '--annotate', `v${version}`, '--message', `nnclr ${version}`]
  const step = command(root, 'tag', words)
  let isOurs = false
  return {
    ...step,
    act: () => {
      step.act()
      isOurs = true
    },
    undo: () => {
      if (isOurs) git(root, 'tag', '--delete', `v${version}`)
    },
  }
}
