// One installation by npm, used in every way that Node offers.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { trained } from './expect.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const VERSIONS = ['20', '22', '24', '26']
const OURS = ['nnclr', '@nnclr/linux-x64-gnu', '@nnclr/libtorch-linux-x64-gnu']
const QUIET = '--disable-warning=ExperimentalWarning'

/** @param {import('./machine.mjs').Machine} machine @returns {Generator<import('./cases.mjs').Case>} */
export function* npmCases(machine) {
  const folder = machine.project('npm')
  const run = async (version, words, env) =>
    trained(await machine.program(version, folder, words, env))
  yield {
    name: 'npm 12: npm install nnclr in an empty folder',
    isNeeded: true,
    work: async () => {
      await machine.manage('npm-12', folder, ['install', 'nnclr'])
      const scope = readdirSync(join(folder, 'node_modules/@nnclr')).map((name) => `@nnclr/${name}`)
      const found = [...readdirSync(join(folder, 'node_modules')), ...scope]
      const own = found.filter((name) => !name.startsWith('.') && name !== '@nnclr').sort()
      if (own.join() !== [...OURS].sort().join()) throw new Error(`installed ${own.join(', ')}`)
    },
  }
  for (const version of VERSIONS) {
    yield { name: `Node ${version}: ES module`, work: () => run(version, ['module.mjs']) }
    yield {
      name: `Node ${version}: import() from CommonJS`,
      work: () => run(version, ['common.cjs']),
    }
    yield {
      name: `Node ${version}: require() from CommonJS`,
      work: () => run(version, version === '20' ? [QUIET, 'required.cjs'] : ['required.cjs']),
    }
    yield { name: `Node ${version}: in a worker thread`, work: () => run(version, ['worker.mjs']) }
    yield { name: `Node ${version}: isolated`, work: () => run(version, ['isolated.mjs']) }
    if (version === '20') continue // It does not strip types.
    yield {
      name: `Node ${version}: .ts by type stripping`,
      work: () => run(version, [QUIET, 'typed.ts']),
    }
  }
  yield { name: 'the packed typings, checked strictly', work: () => typeCheck(folder) }
  yield {
    name: 'the command line: nnclr info',
    work: async () => {
      const bin = join(folder, 'node_modules/.bin/nnclr')
      const ended = await machine.run([bin, 'info', '--json'], folder, '24', { limit: 60_000 })
      const info = JSON.parse(ended.stdout || '{}')
      const place = join(folder, 'node_modules/@nnclr/libtorch-linux-x64-gnu')
      if (ended.code !== 0 || !info.libtorch?.startsWith(place))
        throw new Error(`code ${ended.code}, libtorch ${info.libtorch}: ${ended.stderr}`)
    },
  }
  const strange = join(dirname(folder), 'Größe, мир & 学习 (1)')
  yield {
    name: 'a path with spaces and non-ASCII letters',
    work: async () => {
      renameSync(folder, strange)
      try {
        trained(await machine.program('24', strange, ['module.mjs']))
      } finally {
        renameSync(strange, folder)
      }
    },
  }
  yield {
    name: 'LD_LIBRARY_PATH with another libtorch in front',
    work: async () => {
      const other = join(folder, 'other-libtorch')
      mkdirSync(other)
      for (const name of ['libtorch_cpu.so', 'libc10.so'])
        writeFileSync(join(other, name), 'not a library')
      await run('24', ['module.mjs'], { LD_LIBRARY_PATH: other })
    },
  }
}

/** The typings as a user's compiler sees them: nothing of this repository but the compiler and Node's types. */
async function typeCheck(folder) {
  const options = {
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(ROOT, 'node_modules/@types')],
  }
  const config = { compilerOptions: options, files: ['typed.ts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc')
  const words = [compiler, '-p', folder]
  const { status, stdout } = spawnSync(process.execPath, words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(stdout.trim().split('\n')[0])
}
