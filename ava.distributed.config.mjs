// `npm run test:distributed`: training on several ranks as it fails and goes on, minutes of real processes. One
// file at a time: their ranks share the cores.
import { readFileSync } from 'node:fs'

const { ava } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

export default { ...ava, files: ['__test__/distributed/*.spec.ts'], concurrency: 1, timeout: '10m' }
