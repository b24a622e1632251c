// Packs nnclr, its addon and libtorch for this system into dist-packages/. `npm run pack` sets up first.
// `--only addon,libtorch` leaves out the package that is the same on every system.
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { packAll } from './pack/main.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')

try {
  const { values } = parseArgs({ options: { only: { type: 'string' } } })
  packAll(ROOT, values.only === undefined ? {} : { only: values.only.split(',') })
  console.log('pack: tarballs and SHA256SUMS are in dist-packages/')
} catch (error) {
  console.error(`pack: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}
