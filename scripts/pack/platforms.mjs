// The systems that packages exist for, and what each holds. `ts/load-addon/platforms.ts` has the same names.

/**
 * @typedef {object} Platform
 * @property {string} name as in the packages' names
 * @property {string} system as `process.platform` and `process.arch` say it
 * @property {boolean} built false: written down, never built; the main package does not ask for it
 * @property {string} target cargo's name
 * @property {string} runner the release workflow's machine
 * @property {string} container the image on it, whose glibc is as old as libtorch's; empty: none
 */

/** @type {Platform[]} */
export const PLATFORMS = [
  {
    name: 'linux-x64-gnu',
    system: 'linux-x64',
    built: true,
    target: 'x86_64-unknown-linux-gnu',
    runner: 'ubuntu-24.04',
    container: 'quay.io/pypa/manylinux_2_28_x86_64',
  },
  {
    name: 'linux-arm64-gnu',
    system: 'linux-arm64',
    built: false,
    target: 'aarch64-unknown-linux-gnu',
    runner: 'ubuntu-24.04-arm',
    container: 'quay.io/pypa/manylinux_2_28_aarch64',
  },
  {
    name: 'darwin-arm64',
    system: 'darwin-arm64',
    built: false,
    target: 'aarch64-apple-darwin',
    runner: 'macos-15',
    container: '',
  },
  {
    name: 'win32-x64-msvc',
    system: 'win32-x64',
    built: false,
    target: 'x86_64-pc-windows-msvc',
    runner: 'windows-2025',
    container: '',
  },
]

/** The system this runs on. @returns {Platform} */
export function thisPlatform() {
  const system = `${process.platform}-${process.arch}`
  const found = PLATFORMS.find((platform) => platform.system === system)
  if (!found) throw new Error(`there are no packages for ${system}`)
  return found
}

/** Above these a package is not published: npm refuses about 200 MB, and nobody waits for the rest. */
export const LIMITS = { main: 300_000, addon: 5_000_000, libtorch: 125_000_000 }
