// Makes a clone ready to run: `npm run setup`. Every other npm script calls it first.
// Only syntax that an old Node can parse is allowed here, so that the first message is ours.
import { readFileSync } from 'node:fs'

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const needed = manifest.engines.node.replace('>=', '').split('.').map(Number)
const found = process.versions.node.split('.').map(Number)
const tooOld = found[0] < needed[0] || (found[0] === needed[0] && found[1] < needed[1])

if (tooOld) {
  console.error(
    'set-up: Node ' +
      needed.join('.') +
      ' or newer is needed, this is ' +
      process.versions.node +
      '. Install a newer Node and run the command again.',
  )
  process.exit(1)
}

const { main } = await import('./setup/main.mjs')
process.exitCode = await main(process.argv.slice(2))
