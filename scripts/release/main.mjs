// `npm run release`: from a green tree to a tag. The tag starts .github/workflows/release.yml, which builds on
// each system and publishes.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { releaseSteps } from './steps.mjs'
import { checkVersion } from './versions.mjs'

/**
 * @param {string} root @param {string[]} args `--dry-run`, and the version unless it is package.json's
 * @returns {number} exit code
 */
export function release(root, args) {
  const dryRun = args.includes('--dry-run')
  const given = args.find((word) => !word.startsWith('--'))
  const version = given ?? JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
  checkVersion(version)
  console.log(`release: ${version}${dryRun ? ', a rehearsal: nothing is changed' : ''}`)
  let stops = 0
  for (const [i, { name, look, act }] of releaseSteps(root, version).entries()) {
    console.log(`\n${i + 1}. ${name}`)
    try {
      console.log(indent(look()))
      if (act && !dryRun) act()
    } catch (error) {
      console.log(indent(`STOP: ${error instanceof Error ? error.message : error}`))
      stops += 1
      if (!dryRun) return 1
    }
  }
  if (dryRun)
    console.log(`\nrelease: rehearsed; a release would stop at ${stops} of the steps above`)
  return 0
}

function indent(text) {
  return text.replace(/^/gm, '   ')
}
