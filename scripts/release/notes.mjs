// Prints the section of a version in CHANGELOG.md: `node scripts/release/notes.mjs 0.1.0`.
import { readFileSync } from 'node:fs'
import { section } from './changelog.mjs'

const changelog = readFileSync(new URL('../../CHANGELOG.md', import.meta.url), 'utf8')
console.log(section(changelog, process.argv[2] ?? ''))
