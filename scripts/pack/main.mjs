// `npm run pack`: the three packages of this system as tarballs, weighed against their limits.
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { digest, fileSha256 } from '../setup/stamp.mjs'
import { LIMITS, thisPlatform } from './platforms.mjs'
import { emptied, stageAddon, stageLibtorch, stageMain } from './stage.mjs'
import { packFolder } from './tarball.mjs'

/**
 * @param {string} root the repository
 * @param {{ out?: string, version?: string, only?: string[], say?: (line: string) => void }} [options]
 *   `version` of the main package and the addon, for trials with two versions;
 *   `only` some of `main`, `addon` and `libtorch`
 * @returns {import('./tarball.mjs').Tarball[]}
 */
export function packAll(root, options = {}) {
  const { out = join(root, 'dist-packages'), only = ['main', 'addon', 'libtorch'] } = options
  const { say = console.log } = options
  const version = options.version ?? readVersion(root)
  const platform = thisPlatform()
  const libtorch = realpathSync(join(root, '.libtorch'))
  const steps = {
    main: (stage) => stageMain(root, stage, version),
    addon: (stage) => stageAddon(root, stage, platform, version),
    libtorch: (stage) => stageLibtorch(root, libtorch, stage, platform),
  }
  mkdirSync(out, { recursive: true })
  const tarballs = only.map((kind) => {
    const stage = emptied(join(out, 'stage', kind))
    steps[kind](stage)
    const tarball = packFolder(stage, out, digest(stage, ['.']))
    say(`pack: ${describe(tarball, LIMITS[kind])}`)
    if (tarball.packed > LIMITS[kind])
      throw new Error(`${tarball.name} has ${tarball.packed} bytes packed, at most ${LIMITS[kind]}`)
    return tarball
  })
  writeFileSync(join(out, 'SHA256SUMS'), checksums(tarballs))
  return tarballs
}

/** As `sha256sum --check` reads it. */
export function checksums(tarballs) {
  return tarballs.map(({ path }) => `${fileSha256(path)}  ${basename(path)}\n`).join('')
}

function readVersion(root) {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
}

function describe({ name, version, packed, unpacked, files }, limit) {
  const share = `${Math.round((100 * packed) / limit)} % of its limit`
  return `${name}@${version}: ${size(packed)} packed (${share}), ${size(unpacked)} unpacked, ${files} files`
}

function size(bytes) {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}
