// Fails when a library needs a newer glibc than told: `node scripts/release/check-glibc.mjs 2.28 FILE`.
import { readFileSync } from 'node:fs'
import { neededGlibc } from '../pack/elf.mjs'

const [limit = '', path = ''] = process.argv.slice(2)
const minor = (version) => Number(version.split('.')[1])
const needed = neededGlibc(readFileSync(path))
console.log(`${path} needs glibc ${needed}, at most ${limit} is allowed`)
process.exitCode = needed !== null && minor(needed) <= minor(limit) ? 0 : 1
