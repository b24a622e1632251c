// Installs the packed packages in folders outside the repository and uses them: `npm run test:packages`.
//
//     npm run test:packages                 all cases, about ten minutes
//     npm run test:packages -- esbuild      those whose name holds the word, and the installations that others need
//     npm run test:packages -- --tarballs DIR   of the tarballs in a folder, without packing this clone
import { fileURLToPath } from 'node:url'
import { main } from './test-packages/main.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')

try {
  process.exitCode = await main(ROOT, process.argv.slice(2))
} catch (error) {
  console.error(`test:packages: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}
