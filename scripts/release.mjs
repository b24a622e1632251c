// One command from a green tree to a release.
//
//     npm run release -- --dry-run          every step, and what of it does no harm
//     npm run release -- 0.2.0              releases that version
import { fileURLToPath } from 'node:url'
import { release } from './release/main.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')

try {
  process.exitCode = release(ROOT, process.argv.slice(2))
} catch (error) {
  console.error(`release: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}
