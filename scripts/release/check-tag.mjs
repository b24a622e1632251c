// Fails when a tag is not what the tree says of itself: `node scripts/release/check-tag.mjs v1.2.3`. The first
// step of .github/workflows/release.yml, so that a tag made by hand publishes nothing.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDated, section } from './changelog.mjs'
import { isRepository, repositoryUrl } from './repository.mjs'
import { checkVersion, differences } from './versions.mjs'

/**
 * @param {string} root @param {string} tag
 * @param {string} [repository] `OWNER/NAME` of where this runs
 */
export function checkTag(root, tag, repository) {
  if (!tag.startsWith('v')) throw new Error(`the tag is "${tag}", expected one like v1.2.3`)
  const version = tag.slice(1)
  checkVersion(version)
  const others = differences(root, version).map(({ file, found }) => `${file} says ${found}`)
  if (others.length > 0) throw new Error(`the tag is ${tag}, but ${others.join(', ')}`)
  const changelog = readFileSync(join(root, 'CHANGELOG.md'), 'utf8')
  section(changelog, version)
  if (!isDated(changelog, version)) throw new Error(`CHANGELOG.md gives [${version}] no date`)
  const url = repositoryUrl(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')))
  if (repository && !isRepository(url, repository))
    throw new Error(`package.json names the repository ${url}, but this is ${repository}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const tag = process.argv[2] ?? ''
  try {
    checkTag(fileURLToPath(new URL('../..', import.meta.url)), tag, process.env.GITHUB_REPOSITORY)
    console.log(`check-tag: ${tag} is the tree's version, with a dated section in CHANGELOG.md`)
  } catch (error) {
    console.error(`check-tag: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  }
}
