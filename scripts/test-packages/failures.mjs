// What goes wrong for users, done to a real installation: each must be one error with the remedy that fits.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'
import { refused, trained } from './expect.mjs'

const ADDON = 'node_modules/@nnclr/linux-x64-gnu'
const LIBTORCH = 'node_modules/@nnclr/libtorch-linux-x64-gnu'

/**
 * @param {import('./machine.mjs').Machine} machine
 * @param {string} version
 * @returns {Generator<import('./cases.mjs').Case>}
 */
export function* failureCases(machine, version) {
  yield* brokenInstallation(machine, join(machine.folder, 'projects/neighbours'))
  yield* incompleteInstallation(machine, version)
}

/** Each case spoils something and repairs it. */
function* brokenInstallation(machine, folder) {
  const at = (path) => join(folder, path)
  const refuses = async (message, words = ['module.mjs'], env = {}) =>
    refused(await machine.program('24', folder, words, env), message)

  yield {
    name: 'refused: bundled without external',
    work: async () => {
      await bundle(machine, folder, [])
      await refuses(/copied into a bundle.*mark 'nnclr' as external/, ['bundle/out.mjs'])
    },
  }
  yield {
    name: 'refused: --no-addons',
    work: () => refuses(/start Node without --no-addons/, ['--no-addons', 'module.mjs']),
  }
  yield {
    name: 'refused: the permission model without --allow-addons',
    work: () => {
      const words = ['--permission', '--allow-fs-read=*', '--allow-fs-write=*', 'module.mjs']
      return refuses(/under --permission with --allow-addons/, words)
    },
  }
  yield {
    name: 'refused: libtorch cut short',
    work: () =>
      spoiled(
        at(`${LIBTORCH}/torch/lib/libc10.so`),
        (path) => truncateSync(path, 4096),
        () =>
          refuses(/is damaged: .*libc10\.so has 4096 bytes instead of \d+; delete node_modules/),
      ),
  }
  yield {
    name: 'refused: a library of libtorch deleted',
    work: () =>
      spoiled(
        at(`${LIBTORCH}/torch/lib/libgomp.so.1`),
        (path) => rmSync(path),
        () => refuses(/is damaged: .*libgomp\.so\.1 is missing; delete node_modules/),
      ),
  }
  yield {
    name: 'refused: the addon overwritten with zeros',
    work: () =>
      spoiled(
        at(`${ADDON}/nnclr.linux-x64-gnu.node`),
        (path) => writeFileSync(path, Buffer.alloc(readFileSync(path).length)),
        () => refuses(/invalid ELF header.*delete node_modules and install again/),
      ),
  }
  yield {
    name: 'refused: libtorch of another version in the package',
    work: () =>
      withFields(at(LIBTORCH), { version: '2.12.0' }, () =>
        refuses(/is 2\.12\.0, expected 2\.13\.0/),
      ),
  }
  yield {
    name: 'refused: an addon of another version',
    work: () =>
      withFields(at(ADDON), { version: '0.0.9' }, () => refuses(/is 0\.0\.9, expected \d/)),
  }
  yield {
    name: 'refused: an addon that was linked against a newer glibc',
    work: () =>
      withFields(at(ADDON), { nnclr: { glibc: '2.99' } }, () =>
        refuses(/has glibc 2\.\d+, expected 2\.99 or newer; use a newer release/),
      ),
  }
  yield {
    name: 'refused: another libtorch already in the process',
    work: async () => {
      const library = at('other/torch/lib/libtorch_cpu.so')
      mkdirSync(at('other/torch/lib'), { recursive: true })
      cpSync(at(`${LIBTORCH}/torch/lib/libc10.so`), library)
      writeFileSync(at('other/torch/version.py'), "__version__ = '2.9.1+cpu'\n")
      const message = /already uses libtorch 2\.9\.1 \(.*\), expected 2\.13\.0/
      await refuses(message, ['other-torch.mjs'], { OTHER_TORCH: library })
    },
  }
  yield {
    name: 'refused: node_modules of another system',
    work: async () => {
      renameSync(at(ADDON), at('away'))
      mkdirSync(at('node_modules/@nnclr/darwin-arm64'))
      try {
        await refuses(/@nnclr\/darwin-arm64 is: node_modules comes from another system/)
      } finally {
        rmSync(at('node_modules/@nnclr/darwin-arm64'), { recursive: true })
        renameSync(at('away'), at(ADDON))
      }
    },
  }
  yield {
    name: 'and repaired, it trains again',
    work: async () => trained(await machine.program('24', folder, ['module.mjs'])),
  }
}

/** Installations that never were whole; their remedies are carried out. */
function* incompleteInstallation(machine, version) {
  yield {
    name: 'refused: --omit=optional; trains after the remedy',
    work: async () => {
      const folder = machine.project('omitted')
      await machine.manage('npm-12', folder, ['install', 'nnclr', '--omit=optional'])
      const ended = await machine.program('24', folder, ['module.mjs'])
      refused(ended, /left out \(--omit=optional\): run npm install --include=optional/)
      await machine.manage('npm-12', folder, ['install', '--include=optional'])
      trained(await machine.program('24', folder, ['module.mjs']))
      rmSync(folder, { recursive: true, force: true })
    },
  }
  yield {
    name: 'refused: a lockfile from another system; trains after the remedy',
    work: async () => {
      const folder = machine.project('lockfile')
      writeManifest(folder, { nnclr: version })
      await machine.manage('npm-12', folder, ['install', '--package-lock-only'])
      dropFromLockfile(join(folder, 'package-lock.json'))
      await machine.manage('npm-10', folder, ['ci', '--omit=optional'])
      refused(
        await machine.program('24', folder, ['module.mjs']),
        /package-lock\.json does not list it.*delete node_modules and package-lock\.json/,
      )
      rmSync(join(folder, 'node_modules'), { recursive: true })
      rmSync(join(folder, 'package-lock.json'))
      await machine.manage('npm-12', folder, ['install'])
      trained(await machine.program('24', folder, ['module.mjs']))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Does something to a file while `work` runs; the file is then as before. */
async function spoiled(path, spoil, work) {
  // A copy and not the file itself: package managers link files from their stores.
  cpSync(path, `${path}.kept`)
  try {
    rmSync(path)
    cpSync(`${path}.kept`, path)
    spoil(path)
    await work()
  } finally {
    rmSync(path, { force: true })
    renameSync(`${path}.kept`, path)
  }
}

/** Runs `work` with other fields in a package's manifest. */
function withFields(folder, fields, work) {
  const change = (path) => {
    const manifest = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, JSON.stringify({ ...manifest, ...fields }))
  }
  return spoiled(join(folder, 'package.json'), change, work)
}

function writeManifest(folder, dependencies) {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies }))
}

/** As npm writes it on another system when it meets its bug 4828. */
function dropFromLockfile(path) {
  if (!existsSync(path)) throw new Error('npm wrote no lockfile')
  const lock = JSON.parse(readFileSync(path, 'utf8'))
  for (const name of Object.keys(lock.packages))
    if (name.includes('@nnclr/')) delete lock.packages[name]
  writeFileSync(path, JSON.stringify(lock))
}
