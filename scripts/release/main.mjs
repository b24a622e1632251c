// `npm run release`: from a green tree to a tag. The tag starts .github/workflows/release.yml, which builds on
// each system and publishes.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runSteps } from './run-steps.mjs'
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
  const stops = runSteps(releaseSteps(root, version), { dryRun })
  if (dryRun)
    console.log(`\nrelease: rehearsed; a release would stop at ${stops} of the steps above`)
  else if (stops === 0) console.log(`\nrelease: v${version} is pushed; the workflow publishes it`)
  else console.log('\nrelease: not released; the same command repeats it')
  return dryRun || stops === 0 ? 0 : 1
}
