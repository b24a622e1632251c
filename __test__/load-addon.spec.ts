// Why the addon cannot be opened, case by case: the facts are made up, the judgement is the real one.
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test from 'ava'
import { NnclrError } from '../ts/errors.js'
import { diagnose, explainFailure } from '../ts/load-addon/diagnose.js'
import type { Installed, Machine, Packages } from '../ts/load-addon/facts.js'
import { readMachine } from '../ts/load-addon/machine.js'
import { findPackages } from '../ts/load-addon/packages.js'
import { PLATFORMS, type Platform } from '../ts/load-addon/platforms.js'

const LINUX = PLATFORMS['linux-x64'] as Platform
const ADDON = '@nnclr/linux-x64-gnu'
const LIBTORCH = '@nnclr/libtorch-linux-x64-gnu'

function machine(changes: Partial<Machine> = {}): Machine {
  const cpu = new Set(['sse2', 'sse4_1'])
  return { system: 'linux-x64', libc: 'glibc', glibc: '2.36', cpu, torch: null, ...changes }
}

function installed(name: string, version: string, changes: Partial<Installed> = {}): Installed {
  return { name, version, folder: `/app/node_modules/${name}`, damage: null, ...changes }
}

function packages(changes: Partial<Packages> = {}): Packages {
  return {
    platform: LINUX,
    own: { version: '0.1.0', folder: '/app/node_modules/nnclr' },
    built: null,
    addon: installed(ADDON, '0.1.0'),
    libtorch: installed(LIBTORCH, '2.13.0'),
    wantedLibtorch: '2.13.0',
    glibc: '2.28',
    foreign: [],
    lockfile: null,
    ...changes,
  }
}

/** The whole answer: what is wrong and the one remedy. */
function answer(changedMachine: Partial<Machine>, changedPackages: Partial<Packages>): string {
  const error = diagnose(machine(changedMachine), packages(changedPackages))
  if (error === null) return 'nothing'
  return `${error.code} ${error.subject}: ${error.message.replace('cannot load the native addon: ', '')}`
}

const missing = { addon: null, libtorch: null, wantedLibtorch: null, glibc: null }
/** What is the matter, the machine, the packages, the answer. */
const CASES: [string, Partial<Machine>, Partial<Packages>, string][] = [
  ['nothing', {}, {}, 'nothing'],
  [
    'a system without an addon',
    { system: 'freebsd-x64' },
    { ...missing, platform: null },
    'LOAD freebsd-x64: there is none for freebsd-x64; run it on linux-x64',
  ],
  [
    'a platform that nobody has built',
    { system: 'darwin-arm64', libc: null, glibc: null, cpu: null },
    { ...missing, platform: PLATFORMS['darwin-arm64'] as Platform },
    'LOAD @nnclr/darwin-arm64: there is no package for darwin-arm64 yet; run it on linux-x64, or build it in a clone of the repository (CONTRIBUTING.md)',
  ],
  [
    'musl',
    { libc: 'musl', glibc: null },
    missing,
    'LOAD musl: this Linux uses musl, and libtorch needs glibc; use a system with glibc, in a container node:24-slim',
  ],
  [
    'an old glibc',
    { glibc: '2.27' },
    {},
    'LOAD glibc 2.27: this system has glibc 2.27, expected 2.28 or newer; use a newer release of it (Debian 10, Ubuntu 20.04 and RHEL 8 have 2.28, Debian 12, Ubuntu 22.04 and RHEL 9 have 2.34)',
  ],
  ['the oldest glibc', { glibc: '2.28' }, {}, 'nothing'],
  [
    'a glibc older than that of the machine which built the addon',
    { glibc: '2.31' },
    { glibc: '2.34' },
    'LOAD glibc 2.31: this system has glibc 2.31, expected 2.34 or newer; use a newer release of it (Debian 10, Ubuntu 20.04 and RHEL 8 have 2.28, Debian 12, Ubuntu 22.04 and RHEL 9 have 2.34)',
  ],
  ['a glibc of three digits', { glibc: '2.100' }, {}, 'nothing'],
  [
    'a processor without SSE4.1',
    { cpu: new Set(['sse2', 'ssse3']) },
    {},
    'LOAD sse4_1: the processor lacks sse4_1, which libtorch for linux-x64 needs; use another processor; in a virtual machine let it see the host processor',
  ],
  ['a processor that cannot be asked', { cpu: null }, {}, 'nothing'],
  [
    'a bundle',
    {},
    { ...missing, own: null },
    "LOAD nnclr: nnclr's code was copied into a bundle, which has no addon for linux-x64 beside it; mark 'nnclr' as external in the bundler and install it",
  ],
  [
    'a missing addon in a project without a lockfile',
    {},
    missing,
    `LOAD ${ADDON}: the package ${ADDON} is not installed; install it: npm install ${ADDON}@0.1.0`,
  ],
  [
    'a lockfile of another system',
    {},
    { ...missing, lockfile: { name: 'package-lock.json', lists: false } },
    `LOAD ${ADDON}: the package ${ADDON} is not installed and package-lock.json does not list it: it was written on another system; delete node_modules and package-lock.json, then install again`,
  ],
  [
    '--omit=optional',
    {},
    { ...missing, lockfile: { name: 'package-lock.json', lists: true } },
    `LOAD ${ADDON}: the package ${ADDON} is not installed; optional packages were left out (--omit=optional): run npm install --include=optional, without that option`,
  ],
  [
    'pnpm --no-optional',
    {},
    { ...missing, lockfile: { name: 'pnpm-lock.yaml', lists: true } },
    `LOAD ${ADDON}: the package ${ADDON} is not installed; optional packages were left out (--no-optional): run pnpm install, without that option`,
  ],
  [
    'yarn --ignore-optional',
    {},
    { ...missing, lockfile: { name: 'yarn.lock', lists: true } },
    `LOAD ${ADDON}: the package ${ADDON} is not installed; optional packages were left out (--ignore-optional): run yarn install, without that option`,
  ],
  [
    'node_modules of another system',
    {},
    {
      ...missing,
      foreign: ['@nnclr/darwin-arm64'],
      lockfile: { name: 'yarn.lock', lists: true },
    },
    `LOAD ${ADDON}: the package ${ADDON} is not installed, but @nnclr/darwin-arm64 is: node_modules comes from another system; delete node_modules and install again on this system`,
  ],
  [
    'a missing libtorch',
    {},
    { libtorch: null },
    `LOAD ${LIBTORCH}: the package ${LIBTORCH} is not installed; install it: npm install ${LIBTORCH}@2.13.0`,
  ],
  [
    'an addon of another version',
    {},
    { addon: installed(ADDON, '0.0.9') },
    `LOAD ${ADDON}: ${ADDON} is 0.0.9, expected 0.1.0; install that version: npm install ${ADDON}@0.1.0`,
  ],
  [
    'libtorch of another version',
    {},
    { libtorch: installed(LIBTORCH, '2.12.0') },
    `LOAD ${LIBTORCH}: ${LIBTORCH} is 2.12.0, expected 2.13.0; install that version: npm install ${LIBTORCH}@2.13.0`,
  ],
  [
    'a broken file',
    {},
    { libtorch: installed(LIBTORCH, '2.13.0', { damage: 'libc10.so has 5 bytes instead of 9' }) },
    `LOAD ${LIBTORCH}: ${LIBTORCH} is damaged: libc10.so has 5 bytes instead of 9; delete node_modules/${LIBTORCH} and install again`,
  ],
  [
    "Electron's archive",
    {},
    { addon: installed(ADDON, '0.1.0', { folder: `/App/app.asar/node_modules/${ADDON}` }) },
    `LOAD ${ADDON}: ${ADDON} is inside an asar archive, where libraries cannot be opened; add '**/node_modules/@nnclr/**' to asarUnpack`,
  ],
  [
    'another libtorch in the process',
    { torch: { path: '/py/libtorch_cpu.so', version: '2.9.1' } },
    {},
    'LOAD libtorch: this process already uses libtorch 2.9.1 (/py/libtorch_cpu.so), expected 2.13.0; use isolate: true, or nnclr in a process of its own',
  ],
  [
    'the same libtorch in the process',
    { torch: { path: '/b/libtorch_cpu.so', version: '2.13.0' } },
    {},
    'nothing',
  ],
]

for (const [name, changedMachine, changedPackages, expected] of CASES) {
  test(`told beforehand: ${name}`, (t) => {
    t.is(answer(changedMachine, changedPackages), expected)
  })
}

test('what the system says when it opens a library gets its remedy', (t) => {
  const words: [string, RegExp][] = [
    ['/a.node: invalid ELF header', /invalid ELF header; delete node_modules and install again$/],
    ["/lib/libstdc++.so.6: version `GLIBCXX_3.4.22' not found", /install a newer libstdc\+\+/],
    [
      'libgomp.so.1: cannot allocate memory in static TLS block',
      /first call of nnclr before other/,
    ],
    ['a.node: failed to map segment from shared object', /not mounted noexec$/],
    ['Cannot load native addon because loading addons is disabled.', /without --no-addons/],
  ]
  for (const [message, expected] of words) {
    const cause = Object.assign(new Error(message), {
      code: message.includes('disabled') ? 'ERR_DLOPEN_DISABLED' : 'ERR_DLOPEN_FAILED',
    })
    const error = explainFailure(packages(), cause)
    t.true(error instanceof NnclrError)
    t.is(error.code, 'LOAD')
    t.is(error.cause, cause)
    t.regex(error.message, expected)
  }
  const clone = explainFailure(packages({ built: '/clone/binding/a.node' }), new Error('x'))
  t.regex(clone.message, /build it anew: npm run setup$/)
})

test('this machine and this clone pass their own checks', (t) => {
  const here = readMachine()
  t.is(here.system, `${process.platform}-${process.arch}`)
  if (process.platform === 'linux') t.regex(here.glibc ?? '', /^2\.\d+$/)
  const found = findPackages(new URL('../ts/load-addon.ts', import.meta.url).href, here.system)
  t.regex(found.built ?? '', /binding.*\.node$/)
  t.is(diagnose(here, found), null)
})

/** Files of an installation that is not one. */
async function tree(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'nnclr-load-'))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  return folder
}

const OWN = { 'node_modules/nnclr/package.json': '{"name":"nnclr","version":"0.1.0"}' }
const FILES = {
  ...OWN,
  [`node_modules/${ADDON}/package.json`]: `{"version":"0.1.0","dependencies":{"${LIBTORCH}":"2.13.0"},"nnclr":{"glibc":"2.30","sizes":{"a.node":3}}}`,
  [`node_modules/${ADDON}/a.node`]: 'abc',
  [`node_modules/${LIBTORCH}/package.json`]:
    '{"version":"2.13.0","nnclr":{"sizes":{"torch/lib/libtorch_cpu.so":4}}}',
  [`node_modules/${LIBTORCH}/torch/lib/libtorch_cpu.so`]: 'abcd',
}

async function find(
  t: { teardown: (undo: () => Promise<void>) => void },
  files: Record<string, string>,
): Promise<[Packages, string]> {
  const folder = await tree(files)
  t.teardown(() => rm(folder, { recursive: true }))
  const module = pathToFileURL(join(folder, 'node_modules/nnclr/dist/load-addon.js')).href
  return [findPackages(module, 'linux-x64'), folder]
}

test('installed packages are found with their versions and weighed', async (t) => {
  const [whole] = await find(t, FILES)
  t.is(diagnose(machine(), whole), null)
  t.is(whole.addon?.version, '0.1.0')
  t.is(whole.libtorch?.version, '2.13.0')
  t.is(whole.glibc, '2.30')

  const library = `node_modules/${LIBTORCH}/torch/lib/libtorch_cpu.so`
  const [cut, folder] = await find(t, { ...FILES, [library]: 'ab' })
  t.is(cut.libtorch?.damage, `${join(folder, library)} has 2 bytes instead of 4`)
  const { [library]: _, ...without } = FILES
  const [gone, place] = await find(t, without)
  t.is(gone.libtorch?.damage, `${join(place, library)} is missing`)
})

test("a dependency beside the dependent's real place is found, as in pnpm's store", async (t) => {
  const store = 'node_modules/.pnpm'
  const moved = Object.entries(FILES).map(([name, text]) => {
    const own = name.includes('/nnclr/') ? 'nnclr' : 'addon'
    return [name.replace('node_modules/', `${store}/${own}/node_modules/`), text]
  })
  const folder = await tree(Object.fromEntries(moved) as Record<string, string>)
  t.teardown(() => rm(folder, { recursive: true }))
  const own = join(folder, store, 'nnclr/node_modules')
  await mkdir(join(own, '@nnclr'))
  await symlink(join(folder, store, 'addon/node_modules', ADDON), join(own, ADDON))
  const module = pathToFileURL(join(own, 'nnclr/dist/load-addon.js')).href
  t.is(diagnose(machine(), findPackages(module, 'linux-x64')), null)
})

test('the lockfile tells why a package is missing', async (t) => {
  const entry = `{"packages":{"node_modules/nnclr":{"optionalDependencies":{"${ADDON}":"0.1.0"}}`
  const [lacks] = await find(t, { ...OWN, 'package-lock.json': `${entry}}}` })
  t.deepEqual(lacks.lockfile, { name: 'package-lock.json', lists: false })
  const listed = `${entry},"node_modules/${ADDON}":{}}}`
  const [lists] = await find(t, { ...OWN, 'package-lock.json': listed })
  t.deepEqual(lists.lockfile, { name: 'package-lock.json', lists: true })
  const [pnpm] = await find(t, { ...OWN, 'pnpm-lock.yaml': `  '${ADDON}@0.1.0':\n` })
  t.deepEqual(pnpm.lockfile, { name: 'pnpm-lock.yaml', lists: true })
})

test('packages of another system are noticed', async (t) => {
  const [found] = await find(t, { ...OWN, 'node_modules/@nnclr/win32-x64-msvc/package.json': '{}' })
  t.deepEqual(found.foreign, ['@nnclr/win32-x64-msvc'])
})

test("code in somebody else's package is a bundle", async (t) => {
  const folder = await tree({ 'package.json': '{"name":"app","version":"1.0.0"}' })
  t.teardown(() => rm(folder, { recursive: true }))
  const module = pathToFileURL(join(folder, 'dist/app.js')).href
  t.is(findPackages(module, 'linux-x64').own, null)
  t.is(findPackages(undefined, 'linux-x64').own, null)
})
