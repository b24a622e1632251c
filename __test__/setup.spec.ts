// The set-up's promises: nothing half-done is trusted, nothing is done twice, what is missing is said at once.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test from 'ava'

interface Pins {
  platform: string
  wheels: { file: string; sha256: string; take: string[] }[]
  write: Record<string, string>
  libraries: string[]
}
interface Machine {
  probe: (command: string, args: string[]) => string | null
  freeBytes: (path: string) => number
}
interface SetupModules {
  ensureLibtorch: (cache: string, pins: Pins, options: { fetch: Fetch }) => Promise<string>
  isComplete: (folder: string, pins: Pins, options?: { thorough: boolean }) => boolean
  libtorchFolder: (cache: string, pins: Pins) => string
  assemblyProblems: (cache: string, machine: Machine) => string[]
  compilerProblems: (root: string, machine: Machine) => string[]
  checkOverride: (folder: string) => void
  cacheFolder: (env: Record<string, string>, platform: string, home: string) => string
  pinsFor: (platform: string) => Pins
  packagesInstalled: (root: string) => boolean
  digest: (root: string, paths: string[]) => string
}
type Fetch = (pins: Pins, folder: string) => Promise<void>

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FIXTURE = join(ROOT, '__test__/fixtures/assemble.mjs')
// The set-up is plain JavaScript, because it runs before anything is installed.
const modules = await Promise.all(
  ['libtorch', 'requirements', 'override', 'cache', 'pins', 'packages', 'stamp'].map(
    (name) => import(join(ROOT, `scripts/setup/${name}.mjs`)),
  ),
)
const setup = Object.assign({}, ...modules) as SetupModules

const HEADER = 'torch/include/torch.h'
const LIBRARY = 'torch/lib/libtorch_cpu.so'
const { folder: shared, wheel, pins } = makeWheel()
test.after.always(() => rmSync(shared, { recursive: true, force: true }))

/** A tiny wheel with a library to take, headers to take, and something to leave. */
function makeWheel(): { folder: string; wheel: string; pins: Pins } {
  const folder = mkdtempSync(join(tmpdir(), 'nnclr-setup-'))
  const file = 'tiny-1.0-py3-none-any.whl'
  const path = join(folder, file)
  const program = `import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("${LIBRARY}", "library")
    z.writestr("${HEADER}", "header")
    z.writestr("torch/lib/libtorch_cuda.so", "too big")
`
  const { status } = spawnSync('python3', ['-c', program, path])
  if (status !== 0) throw new Error('python3 is needed for these tests')
  const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex')
  return {
    folder,
    wheel: path,
    pins: {
      platform: 'test',
      wheels: [{ file, sha256, take: [LIBRARY, 'torch/include/'] }],
      write: { 'torch/build-version': '2.13.0\n' },
      libraries: [LIBRARY, HEADER, 'torch/build-version'],
    },
  }
}

function temporary(t: { teardown: (undo: () => void) => void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'nnclr-setup-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const fetchWheel: Fetch = (wanted, folder) => {
  cpSync(wheel, join(folder, wanted.wheels[0]?.file ?? ''))
  return Promise.resolve()
}
const fetchNothing: Fetch = () => Promise.reject(new Error('nothing should be downloaded'))

function startAssembly(cache: string, delay: number): ChildProcess {
  const pinsFile = join(cache, 'pins.json')
  writeFileSync(pinsFile, JSON.stringify(pins))
  const args = [FIXTURE, cache, pinsFile, wheel, join(cache, 'log'), String(delay)]
  return spawn(process.execPath, args, { stdio: 'ignore' })
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('close', resolve))
}

async function waitFor(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !condition(); tries += 1) await sleep(25)
}

function assemblies(cache: string): string[] {
  return readdirSync(cache).filter((name) => name.startsWith('libtorch-'))
}

test.serial(
  'libtorch is assembled from the chosen members and a second run downloads nothing',
  async (t) => {
    const cache = temporary(t)
    const folder = await setup.ensureLibtorch(cache, pins, { fetch: fetchWheel })
    t.is(readFileSync(join(folder, LIBRARY), 'utf8'), 'library')
    t.true(existsSync(join(folder, HEADER)))
    t.false(existsSync(join(folder, 'torch/lib/libtorch_cuda.so')))
    t.true(setup.isComplete(folder, pins, { thorough: true }))
    t.deepEqual(
      assemblies(cache),
      ['libtorch-2.13.0-test'],
      'no temporary folder, no lock, no wheel',
    )
    t.is(await setup.ensureLibtorch(cache, pins, { fetch: fetchNothing }), folder)
  },
)

test.serial(
  'a download that was killed half-way is not trusted and cleaned by the next run',
  async (t) => {
    const cache = temporary(t)
    const child = startAssembly(cache, 60_000)
    await waitFor(() => existsSync(join(cache, 'log')))
    child.kill('SIGKILL')
    await ended(child)
    const folder = setup.libtorchFolder(cache, pins)
    t.false(setup.isComplete(folder, pins))
    t.true(assemblies(cache).length > 0, 'the killed run left something behind')
    await setup.ensureLibtorch(cache, pins, { fetch: fetchWheel })
    t.true(setup.isComplete(folder, pins, { thorough: true }))
    t.deepEqual(assemblies(cache), ['libtorch-2.13.0-test'])
  },
)

test.serial('two set-ups at once download once and both end well', async (t) => {
  const cache = temporary(t)
  const children = [startAssembly(cache, 400), startAssembly(cache, 400)]
  t.deepEqual(await Promise.all(children.map(ended)), [0, 0])
  t.is(readFileSync(join(cache, 'log'), 'utf8').trim().split('\n').length, 1)
  t.true(setup.isComplete(setup.libtorchFolder(cache, pins), pins, { thorough: true }))
})

test.serial('a folder without a manifest, a cut file and another pin are made anew', async (t) => {
  const cache = temporary(t)
  const folder = setup.libtorchFolder(cache, pins)
  mkdirSync(join(folder, 'torch/lib'), { recursive: true })
  writeFileSync(join(folder, LIBRARY), 'library')
  t.false(setup.isComplete(folder, pins), 'no manifest')
  await setup.ensureLibtorch(cache, pins, { fetch: fetchWheel })

  truncateSync(join(folder, LIBRARY), 3)
  t.false(setup.isComplete(folder, pins), 'cut')
  await setup.ensureLibtorch(cache, pins, { fetch: fetchWheel })
  t.true(setup.isComplete(folder, pins))

  writeFileSync(join(folder, LIBRARY), 'LIBRARY')
  t.false(setup.isComplete(folder, pins, { thorough: true }), 'same size, other bytes')
  const other = { ...pins, wheels: pins.wheels.map((one) => ({ ...one, sha256: 'other' })) }
  t.false(setup.isComplete(folder, other), 'from other wheels')
})

test.serial('a wheel with another checksum is refused and nothing stays', async (t) => {
  const cache = temporary(t)
  const fetch: Fetch = (wanted, folder) => {
    writeFileSync(join(folder, wanted.wheels[0]?.file ?? ''), 'not the wheel')
    return Promise.resolve()
  }
  const error = await t.throwsAsync(setup.ensureLibtorch(cache, pins, { fetch }))
  t.regex(error?.message ?? '', /sha256/)
  t.deepEqual(assemblies(cache), [])
})

test.serial('the lock of a dead process is taken over', async (t) => {
  const cache = temporary(t)
  const gone = spawnSync(process.execPath, ['-e', '']).pid
  const lock = `${setup.libtorchFolder(cache, pins)}.lock`
  writeFileSync(lock, JSON.stringify({ pid: gone, host: hostname() }))
  await setup.ensureLibtorch(cache, pins, { fetch: fetchWheel })
  t.false(existsSync(lock))
})

function runSetup(
  root: string,
  env: Record<string, string>,
): { code: number | null; lines: string[] } {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts/setup.mjs')], {
    env,
    encoding: 'utf8',
  })
  return { code: status, lines: stderr.trim().split('\n') }
}

test('LIBTORCH of another version is one clear error', (t) => {
  const folder = temporary(t)
  mkdirSync(join(folder, 'lib'))
  writeFileSync(join(folder, 'lib/libtorch_cpu.so'), '')
  writeFileSync(join(folder, 'build-version'), '2.9.1+cpu\n')
  const { code, lines } = runSetup(ROOT, { LIBTORCH: folder })
  t.is(code, 1)
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', /is libtorch 2\.9\.1, needed is 2\.13\.0/)
})

test('LIBTORCH without a library is one clear error', (t) => {
  const { code, lines } = runSetup(ROOT, { LIBTORCH: temporary(t) })
  t.is(code, 1)
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', /holds no lib\/libtorch_cpu/)
})

test('LIBTORCH of the right version is accepted, whichever file names it', (t) => {
  const folder = temporary(t)
  mkdirSync(join(folder, 'lib'))
  writeFileSync(join(folder, 'lib/libtorch_cpu.dylib'), '')
  t.throws(() => setup.checkOverride(folder), { message: /unknown version/ })
  const header = join(folder, 'include/torch/headeronly')
  mkdirSync(header, { recursive: true })
  const defines = ['MAJOR 2', 'MINOR 13', 'PATCH 0'].map(
    (word) => `#define TORCH_VERSION_${word}\n`,
  )
  writeFileSync(join(header, 'version.h'), defines.join(''))
  t.notThrows(() => setup.checkOverride(folder))
  writeFileSync(join(folder, 'version.py'), "__version__ = '2.13.0+cu130'\n")
  t.notThrows(() => setup.checkOverride(folder))
  writeFileSync(join(folder, 'version.py'), "__version__ = '2.14.0'\n")
  t.throws(() => setup.checkOverride(folder), { message: /is libtorch 2\.14\.0/ })
})

test('everything that is missing is said at once, a line each, before any work', (t) => {
  const clone = temporary(t)
  for (const name of ['scripts', 'package.json', 'package-lock.json', 'rust-toolchain.toml']) {
    cpSync(join(ROOT, name), join(clone, name), { recursive: true })
  }
  const cache = join(clone, 'cache')
  const { code, lines } = runSetup(clone, { PATH: join(clone, 'empty'), NNCLR_CACHE: cache })
  t.is(code, 1)
  t.is(lines.length, 3, lines.join('\n'))
  t.regex(lines[0] ?? '', /cargo is missing: install Rust with rustup/)
  t.regex(lines[1] ?? '', /C\+\+ compiler is missing/)
  t.regex(lines[2] ?? '', /Python 3 is missing/)
  t.false(existsSync(cache))
  t.false(existsSync(join(clone, 'node_modules')))
})

test('no pip, no disk space and no toolchain are each one line with a remedy', (t) => {
  const machine: Machine = {
    probe: (command, args) => {
      if (args.includes('pip') || command === 'cargo') return null
      return command.startsWith('python') ? 'Python 3.11.7' : `${command} 1.0`
    },
    freeBytes: () => 1.5 * 1024 ** 3,
  }
  const [pip, disk, ...rest] = setup.assemblyProblems('/cache', machine)
  t.regex(pip ?? '', /pip is missing for python3?: .*ensurepip/)
  t.regex(disk ?? '', /1\.5 GB are free for \/cache, about 3 GB are needed: .*NNCLR_CACHE/)
  t.deepEqual(rest, [])
  t.regex(setup.compilerProblems(ROOT, machine)[0] ?? '', /rustup toolchain install 1\.\d+/)
  const fine: Machine = { probe: () => 'Python 3.12.0', freeBytes: () => 1024 ** 4 }
  t.deepEqual(
    [...setup.assemblyProblems('/cache', fine), ...setup.compilerProblems(ROOT, fine)],
    [],
  )
})

test('a platform nobody has built says so', (t) => {
  t.throws(() => setup.pinsFor('darwin-arm64'), { message: /darwin-arm64 is not yet built/ })
  t.throws(() => setup.pinsFor('sunos-sparc'), { message: /sunos-sparc is not yet built/ })
  t.notThrows(() => setup.pinsFor('linux-x64'))
})

test('the cache is the user’s cache folder unless NNCLR_CACHE names another', (t) => {
  t.is(setup.cacheFolder({}, 'linux', '/home/me'), '/home/me/.cache/nnclr')
  t.is(setup.cacheFolder({ XDG_CACHE_HOME: '/xdg' }, 'linux', '/home/me'), '/xdg/nnclr')
  t.is(
    setup.cacheFolder({ XDG_CACHE_HOME: 'relative' }, 'linux', '/home/me'),
    '/home/me/.cache/nnclr',
  )
  t.is(setup.cacheFolder({}, 'darwin', '/Users/me'), '/Users/me/Library/Caches/nnclr')
  t.is(setup.cacheFolder({ NNCLR_CACHE: '/mine' }, 'linux', '/home/me'), '/mine')
})

test('npm packages count as installed when every needed one has its version', (t) => {
  const clone = temporary(t)
  mkdirSync(join(clone, 'node_modules/a'), { recursive: true })
  const wanted = {
    'node_modules/a': { version: '1.0.0' },
    'node_modules/b': { version: '1.0.0', optional: true },
  }
  const write = (name: string, packages: object): void =>
    writeFileSync(join(clone, name), JSON.stringify({ packages }))
  write('package-lock.json', { '': {}, ...wanted })
  t.false(setup.packagesInstalled(clone), 'never installed')
  write('node_modules/.package-lock.json', { 'node_modules/a': { version: '1.0.0' } })
  t.true(setup.packagesInstalled(clone), 'an optional one may be missing')
  write('node_modules/.package-lock.json', { 'node_modules/a': { version: '0.9.0' } })
  t.false(setup.packagesInstalled(clone), 'another version')
  write('node_modules/.package-lock.json', { 'node_modules/a': { version: '1.0.0' } })
  rmSync(join(clone, 'node_modules/a'), { recursive: true })
  t.false(setup.packagesInstalled(clone), 'its folder is gone')
})

test('what is built is judged by content, not by times', (t) => {
  const clone = temporary(t)
  mkdirSync(join(clone, 'src'))
  writeFileSync(join(clone, 'src/a'), 'one')
  const before = setup.digest(clone, ['src', 'missing'])
  writeFileSync(join(clone, 'src/a'), 'one')
  t.is(setup.digest(clone, ['src', 'missing']), before)
  writeFileSync(join(clone, 'src/b'), '')
  t.not(setup.digest(clone, ['src', 'missing']), before)
})
