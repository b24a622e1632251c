// `npm run test:packages`: the packages, installed and used as strangers do, outside this repository.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { packAll } from '../pack/main.mjs'
import { packagesIn } from '../release/packages.mjs'
import { cacheFolder } from '../setup/cache.mjs'
import { npmCommand } from '../setup/packages.mjs'
import { allCases } from './cases.mjs'
import { Machine } from './machine.mjs'
import { published, startRegistry } from './registry.mjs'
import { installTools } from './tools.mjs'

/**
 * @param {string} root the repository
 * @param {string[]} args words, and `--tarballs FOLDER` to take what lies there in place of packing this clone;
 *   the words: run the cases whose names hold all of them; the two that others stand on always run
 * @returns {Promise<number>} exit code
 */
export async function main(root, args) {
  const options = { tarballs: { type: 'string' } }
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
  if (`${process.platform}-${process.arch}` !== 'linux-x64') {
    console.error('test:packages: written for linux-x64, the platform that is built')
    return 1
  }
  const found = values.tarballs === undefined ? packTwice(root) : foundIn(values.tarballs)
  const tools = await installTools(join(cacheFolder(), 'package-tools'))
  const registry = await startRegistry(found.tarballs, upstream())
  const machine = new Machine(tools, registry.url)
  process.once('exit', () => machine.close())
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))
  try {
    return await runCases(allCases(machine, found), positionals)
  } finally {
    registry.close()
  }
}

async function runCases(cases, words) {
  let passed = 0
  const failed = []
  for (const one of cases) {
    const isChosen = words.every((word) => one.name.includes(word))
    if (!isChosen && !one.isNeeded) continue
    if (await runCase(one)) passed += 1
    else failed.push(one.name)
  }
  console.log(`test:packages: ${passed} passed, ${failed.length} failed`)
  return failed.length === 0 && passed > 0 ? 0 : 1
}

async function runCase({ name, work }) {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`
  try {
    await work()
    console.log(`ok     ${name} (${seconds()})`)
    return true
  } catch (error) {
    console.log(`FAILED ${name} (${seconds()})\n       ${error?.message ?? error}`)
    return false
  }
}

/**
 * @typedef {object} Found
 * @property {import('./registry.mjs').Published[]} tarballs of a package's versions the first is `latest`
 * @property {string} version of nnclr
 * @property {string} [other] a second one
 */

/** This clone's packages, and its own two once more under another version. @returns {Found} */
function packTwice(root) {
  const first = packAll(root)
  const { version } = first.find(({ name }) => name === 'nnclr')
  const other = `${version}-other`
  const out = join(root, 'dist-packages/other')
  const second = packAll(root, { out, version: other, only: ['main', 'addon'], say: () => {} })
  return { tarballs: [...first, ...second].map(({ path }) => published(path)), version, other }
}

/** What is about to be published. @param {string} folder @returns {Found} */
function foundIn(folder) {
  const tarballs = packagesIn(folder).map(({ path }) => published(path))
  const versions = tarballs.filter(({ name }) => name === 'nnclr').map((one) => one.version)
  if (versions.length !== 1)
    throw new Error(`${folder} holds ${versions.length} versions of nnclr, expected one`)
  return { tarballs, version: versions[0] }
}

/** The registry that this machine's npm uses. */
function upstream() {
  const [command, args] = npmCommand()
  const words = [...args, 'config', 'get', 'registry']
  const url = spawnSync(command, words, { encoding: 'utf8' }).stdout.trim()
  return url.endsWith('/') ? url : `${url}/`
}
