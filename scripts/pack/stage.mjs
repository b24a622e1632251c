// The packages' folders as they are published, put together from what the clone has built.
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { pinsFor } from '../setup/pins.mjs'
import { fileSha256, listFiles } from '../setup/stamp.mjs'
import { buildFolders, foundFolders, hideFolders } from './build-paths.mjs'
import { linkedCrates } from './crates.mjs'
import { filterRunpath, neededGlibc } from './elf.mjs'
import { cleanMacAddon } from './macho.mjs'
import { PLATFORMS } from './platforms.mjs'
import { addonLicences, writeLibtorchLicences } from './third-party.mjs'

/** What only a clone needs of package.json. */
const DEVELOPMENT = ['scripts', 'ava', 'napi', 'devDependencies', 'overrides', 'private']
/** In `dist/`, but not for the main package: the addon has its own, and nothing imports the rest. */
const NOT_SHIPPED = /(^|\/)binding\/(?!index\.d\.cts$)|\.map$/

/**
 * The main package: JavaScript and typings.
 * @param {string} root @param {string} stage an empty folder @param {string} version
 */
export function stageMain(root, stage, version) {
  const manifest = readJson(join(root, 'package.json'))
  for (const field of DEVELOPMENT) delete manifest[field]
  const built = PLATFORMS.filter((platform) => platform.built)
  manifest.version = version
  // Exact: an addon speaks with the TypeScript of its own version alone.
  manifest.optionalDependencies = Object.fromEntries(
    built.map(({ name }) => [`@nnclr/${name}`, version]),
  )
  writeJson(join(stage, 'package.json'), manifest)
  for (const file of listFiles(root, 'dist').filter((name) => !NOT_SHIPPED.test(name)))
    copy(join(root, file), join(stage, file))
  for (const name of manifest.files.filter((file) => file !== 'dist'))
    copy(join(root, name), join(stage, name))
  const folders = buildFolders(root)
  for (const file of listFiles(stage, 'dist')) {
    const found = foundFolders(readFileSync(join(stage, file)), folders)
    if (found.length > 0) throw new Error(`${file} names a folder of this machine: ${found}`)
  }
}

/**
 * The addon, without the folders of the machine that built it.
 * @param {string} root @param {string} stage @param {import('./platforms.mjs').Platform} platform
 * @param {string} version
 */
export function stageAddon(root, stage, platform, version) {
  const manifest = readJson(join(root, 'npm', platform.name, 'package.json'))
  const file = manifest.main
  const bytes = readFileSync(join(root, 'ts/binding', file))
  if (process.platform === 'linux') {
    const left = filterRunpath(bytes, (folder) => folder.startsWith('$ORIGIN'))
    if (!left.includes('$ORIGIN/../libtorch-'))
      throw new Error(`the addon does not look for libtorch beside itself: ${left}`)
  }
  const folders = buildFolders(root)
  hideFolders(bytes, folders)
  const found = foundFolders(bytes, folders)
  if (found.length > 0) throw new Error(`the addon still names ${found}`)
  writeFileSync(join(stage, file), bytes, { mode: 0o755 })
  if (process.platform === 'darwin') cleanMacAddon(join(stage, file))
  manifest.version = version
  nameRepository(root, manifest)
  const glibc = process.platform === 'linux' ? neededGlibc(bytes) : null
  // The loader compares these before it opens the addon.
  manifest.nnclr = {
    sizes: { [file]: statSync(join(stage, file)).size },
    ...(glibc === null ? {} : { glibc }),
  }
  writeJson(join(stage, 'package.json'), manifest)
  writeFileSync(join(stage, 'THIRD_PARTY.md'), addonLicences(linkedCrates(root, platform.target)))
  copy(join(root, 'npm', platform.name, 'README.md'), join(stage, 'README.md'))
  copy(join(root, 'LICENSE'), join(stage, 'LICENSE'))
}

/**
 * libtorch's libraries, byte for byte those of the wheels.
 * @param {string} root @param {string} libtorch the assembled folder @param {string} stage
 * @param {import('./platforms.mjs').Platform} platform
 */
export function stageLibtorch(root, libtorch, stage, platform) {
  const source = join(root, 'npm', `libtorch-${platform.name}`)
  const manifest = readJson(join(source, 'package.json'))
  const libraries = libraryFiles(platform)
  const { files } = readJson(join(libtorch, 'manifest.json'))
  const sizes = {}
  const sha256 = {}
  for (const file of libraries) {
    const path = join(libtorch, file)
    sha256[file] = fileSha256(path)
    if (sha256[file] !== files[file]?.sha256)
      throw new Error(`${path} is not the wheel's: node scripts/setup.mjs --verify repairs it`)
    copy(path, join(stage, file), { link: true })
    sizes[file] = statSync(path).size
  }
  nameRepository(root, manifest)
  // The loader compares the sizes; a release compares the hashes with what the registry has of this version.
  manifest.nnclr = { sizes, sha256 }
  writeJson(join(stage, 'package.json'), manifest)
  copy(join(source, 'README.md'), join(stage, 'README.md'))
  writeLibtorchLicences(root, libtorch, stage, platform.system)
}

/** The assembled folder holds headers and a linker's script besides, which nobody loads. */
export function libraryFiles({ system }) {
  return pinsFor(system).libraries.filter(
    (file) => !file.includes('/include/') && !file.endsWith('/libtorch.so'),
  )
}

/** npm attests a package only when its own package.json names the repository. */
function nameRepository(root, manifest) {
  const { repository } = readJson(join(root, 'package.json'))
  if (repository !== undefined) manifest.repository = repository
}

/** An empty folder. @param {string} folder */
export function emptied(folder) {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  return folder
}

function copy(from, to, { link = false } = {}) {
  mkdirSync(dirname(to), { recursive: true })
  if (!existsSync(from)) throw new Error(`${from} is missing: npm run setup builds what is packed`)
  // 440 MB need not lie there twice.
  if (link && tryLink(from, to)) return
  if (statSync(from).isDirectory()) cpSync(from, to, { recursive: true })
  else copyFileSync(from, to)
}

function tryLink(from, to) {
  try {
    linkSync(from, to)
    return true
  } catch {
    return false // Another file system.
  }
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
}
