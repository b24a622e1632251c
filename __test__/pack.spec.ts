// What is packed: the manifests agree, and nothing of the building machine goes along.
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { PLATFORMS } from '../ts/load-addon/platforms.js'

interface Manifest {
  name: string
  version: string
  os?: string[]
  cpu?: string[]
  libc?: string[]
  main?: string
  scripts?: object
  devDependencies?: object
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  repository?: object
  nnclr?: { sizes: Record<string, number>; sha256?: Record<string, string>; glibc?: string }
}
interface Crate {
  name: string
  version: string
  licence: string
  texts: string[]
}
interface PackPlatform {
  name: string
  system: string
  built: boolean
  target: string
}
interface Scripts {
  PLATFORMS: PackPlatform[]
  thisPlatform: () => PackPlatform
  LIBTORCH_VERSION: string
  readRunpath: (bytes: Buffer) => { text: string; offset: number } | null
  filterRunpath: (bytes: Buffer, keep: (folder: string) => boolean) => string
  neededGlibc: (bytes: Buffer) => string | null
  hideFolders: (bytes: Buffer, folders: [string, string][]) => number
  foundFolders: (bytes: Buffer, folders: [string, string][]) => string[]
  linkedCrates: (root: string, target: string) => Crate[]
  addonLicences: (crates: Crate[]) => string
  stageMain: (root: string, stage: string, version: string) => void
  stageAddon: (root: string, stage: string, platform: PackPlatform, version: string) => void
  libraryFiles: (platform: { system: string }) => string[]
  rpaths: (text: string) => string[]
  stageLibtorch: (root: string, libtorch: string, stage: string, platform: PackPlatform) => void
}

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')
const NAMES = [
  'setup/pins',
  ...['platforms', 'elf', 'build-paths', 'crates', 'third-party', 'stage', 'macho'].map(
    (name) => `pack/${name}`,
  ),
]
const modules = await Promise.all(NAMES.map((name) => import(join(ROOT, `scripts/${name}.mjs`))))
const scripts = Object.assign({}, ...modules) as Scripts
const LICENCES = ['GCC-exception-3.1.txt', 'GPL-3.0.txt', 'intel-simplified.txt']
const onLinux = process.platform === 'linux' ? test : test.skip

function temporary(t: { teardown: (undo: () => void) => void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'nnclr-pack-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function write(folder: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function manifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}

test('manifests, loader and scripts name the same systems, files and versions', (t) => {
  const { version } = manifest(ROOT)
  t.is(scripts.PLATFORMS.length, Object.keys(PLATFORMS).length)
  for (const { name, system, built } of scripts.PLATFORMS) {
    const [os = '', cpu = ''] = system.split('-')
    const known = PLATFORMS[system]
    t.is(known?.name, name)
    t.is(known?.isBuilt, built)
    const addon = manifest(join(ROOT, 'npm', name))
    const libtorch = manifest(join(ROOT, 'npm', `libtorch-${name}`))
    t.is(addon.name, `@nnclr/${name}`)
    t.is(addon.version, version)
    t.is(addon.main, `nnclr.${name}.node`)
    t.deepEqual(addon.dependencies, { [libtorch.name]: scripts.LIBTORCH_VERSION })
    t.is(libtorch.version, scripts.LIBTORCH_VERSION)
    for (const one of [addon, libtorch]) {
      t.deepEqual([one.os, one.cpu], [[os], [cpu]])
      t.deepEqual(one.libc, os === 'linux' ? ['glibc'] : undefined)
      t.is(one.scripts, undefined)
    }
  }
})

test('the main package has exact optional dependencies, no scripts and no machine code', (t) => {
  const root = temporary(t)
  const stage = temporary(t)
  const files = ['dist', 'README.md']
  const own = { name: 'nnclr', version: '1.2.3', files, scripts: { a: 'b' }, devDependencies: {} }
  write(root, {
    'package.json': JSON.stringify(own),
    'README.md': 'read',
    'dist/index.js': 'export {}',
    'dist/index.js.map': '{}',
    'dist/binding/index.cjs': 'require',
    'dist/binding/index.d.cts': 'export {}',
    'dist/binding/nnclr.linux-x64-gnu.node': 'machine code',
  })
  scripts.stageMain(root, stage, '1.2.3')
  const packed = manifest(stage)
  t.deepEqual(packed.optionalDependencies, { '@nnclr/linux-x64-gnu': '1.2.3' })
  t.is(packed.scripts, undefined)
  t.is(packed.devDependencies, undefined)
  t.deepEqual(readdirSync(join(stage, 'dist')).sort(), ['binding', 'index.js'])
  t.deepEqual(readdirSync(join(stage, 'dist/binding')), ['index.d.cts'])

  write(root, { 'dist/index.js': `console.log('${root}/ts/index.ts')` })
  t.throws(() => scripts.stageMain(root, stage, '1.2.3'), {
    message: /dist\/index\.js names a folder of this machine/,
  })
})

onLinux('the packed addon looks beside itself alone and names no folder of this machine', (t) => {
  const stage = temporary(t)
  const platform = scripts.thisPlatform()
  scripts.stageAddon(ROOT, stage, platform, '9.8.7')
  const { main = '', nnclr, version } = manifest(stage)
  const bytes = readFileSync(join(stage, main))
  t.is(version, '9.8.7')
  t.deepEqual(nnclr?.sizes, { [main]: bytes.length })
  t.regex(nnclr?.glibc ?? '', /^2\.\d+$/)
  const beside = `libtorch-${platform.name}/torch/lib`
  t.is(
    scripts.readRunpath(bytes)?.text,
    `$ORIGIN/../${beside}:$ORIGIN/node_modules/@nnclr/${beside}`,
  )
  t.false(bytes.includes(`${ROOT}/`))
  t.false(bytes.includes('/.cache/nnclr'))
  t.true(existsSync(join(stage, 'LICENSE')))
  // It is still a library with all its sections: Node can open it, where libtorch is beside it.
  const built = readFileSync(join(ROOT, 'ts/binding', main))
  t.is(bytes.length, built.length)
  t.is(scripts.neededGlibc(bytes), scripts.neededGlibc(built))
})

onLinux('a search path is shortened in place', (t) => {
  const { main = '' } = manifest(join(ROOT, 'npm', scripts.thisPlatform().name))
  const before = readFileSync(join(ROOT, 'ts/binding', main))
  const bytes = Buffer.from(before)
  const found = scripts.readRunpath(bytes)
  const { text, offset } = found ?? { text: '', offset: 0 }
  const left = scripts.filterRunpath(bytes, (folder) => folder.startsWith('$ORIGIN/..'))
  t.true(left.length > 0 && text.startsWith(left))
  t.is(scripts.readRunpath(bytes)?.text, left)
  const end = offset + text.length
  t.true(bytes.subarray(0, offset).equals(before.subarray(0, offset)))
  t.true(bytes.subarray(end).equals(before.subarray(end)))
  t.throws(() => scripts.readRunpath(Buffer.alloc(64)), { message: /not a 64-bit/ })
})

test('folders of the machine are hidden without moving a byte', (t) => {
  const folders: [string, string][] = [
    ['/home/me/work', '.'],
    ['/home/me', '~'],
  ]
  const bytes = Buffer.from('a/home/me/work/src/x.rs b/home/me/.cargo/y.rs c/home/meadow')
  const length = bytes.length
  t.is(scripts.hideFolders(bytes, folders), 2)
  const hidden = `.${'/'.repeat('/home/me/work'.length - 1)}`
  t.is(bytes.toString(), `a${hidden}/src/x.rs b~///////${'/.cargo/y.rs'} c/home/meadow`)
  t.is(bytes.length, length)
  t.deepEqual(scripts.foundFolders(bytes, folders), [])
  t.deepEqual(scripts.foundFolders(Buffer.from('C /home/me/x'), folders), ['/home/me'])
})

test('every crate in the addon comes with its licence text', (t) => {
  const crates = scripts.linkedCrates(ROOT, scripts.thisPlatform().target)
  const names = crates.map(({ name }) => name)
  for (const name of ['tch', 'torch-sys', 'napi', 'image', 'safetensors']) {
    t.true(names.includes(name), name)
  }
  // Of the tests, of the build and of the compiler.
  for (const name of ['proptest', 'napi-build', 'napi-derive', 'nnclr']) {
    t.false(names.includes(name), name)
  }
  for (const { name, licence, texts } of crates) t.true(texts.length > 0 && licence !== '', name)
  const text = scripts.addonLicences(crates)
  for (const name of names) t.true(text.includes(`| ${name} |`), name)
  const [first = ''] = crates[0]?.texts ?? []
  t.is(text.split(first).length, 2, 'a text stands there once, whoever shares it')
})

test("libtorch's package has what is loaded and no headers", (t) => {
  const files = scripts.libraryFiles({ system: 'linux-x64' })
  for (const name of ['torch/lib/libtorch_cpu.so', 'torch/lib/libgomp.so.1']) {
    t.true(files.includes(name), name)
  }
  t.deepEqual(
    files.filter((name) => /include|libtorch\.so$/.test(name)),
    [],
  )
})

test("libtorch's package has the hashes of its libraries and names the repository", (t) => {
  const root = temporary(t)
  const stage = temporary(t)
  const platform = { name: 'linux-x64-gnu', system: 'linux-x64', built: true, target: '' }
  const files = scripts.libraryFiles(platform)
  const sha256 = Object.fromEntries(files.map((file) => [file, sha256Of(file)]))
  const hashes = Object.entries(sha256).map(([file, hash]) => [file, { sha256: hash }])
  const repository = { type: 'git', url: 'git+https://example.org/a/b.git' }
  const licences = ['nvidia_cuda_runtime', 'nvidia_cuda_cupti', 'torch']
  write(root, {
    'package.json': JSON.stringify({ repository }),
    'npm/libtorch-linux-x64-gnu/package.json': '{ "version": "1.0.0" }',
    'npm/libtorch-linux-x64-gnu/README.md': 'read',
    ...Object.fromEntries(LICENCES.map((name) => [`npm/licences/${name}`, name])),
    'libtorch/manifest.json': JSON.stringify({ files: Object.fromEntries(hashes) }),
    ...Object.fromEntries(files.map((file) => [`libtorch/${file}`, file])),
    ...Object.fromEntries(
      licences.map((name) => [`libtorch/${name}-1.0.dist-info/licenses/LICENSE`, name]),
    ),
  })
  scripts.stageLibtorch(root, join(root, 'libtorch'), stage, platform)
  const packed = manifest(stage)
  t.deepEqual(packed.nnclr?.sha256, sha256)
  t.deepEqual(packed.nnclr?.sizes, Object.fromEntries(files.map((file) => [file, file.length])))
  t.deepEqual(packed.repository, repository)

  write(root, { 'libtorch/torch/lib/libc10.so': 'another' })
  t.throws(() => scripts.stageLibtorch(root, join(root, 'libtorch'), temporary(t), platform), {
    message: /libc10\.so is not the wheel's/,
  })
})

test("the search paths of a Mac's library are read from otool's words", (t) => {
  const command = (path: string) =>
    `          cmd LC_RPATH\n      cmdsize 48\n         path ${path} (offset 12)\n`
  const text = `Load command 16\n${command('@loader_path/../x')}Load command 17\n${command('/Users/me/a b')}`
  t.deepEqual(scripts.rpaths(text), ['@loader_path/../x', '/Users/me/a b'])
})
