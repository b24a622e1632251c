// What the machine must have, each thing said in one line with its remedy before any work starts.
import { readFileSync, statfsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { probe } from './run-command.mjs'

const GIB = 1024 ** 3
/** Download 0.55 GB, unpacked 0.5 GB, pip's own copy while it moves, room for a build: about 3 GB. */
const CACHE_GIB = 3
const PYTHONS = process.platform === 'win32' ? ['python', 'python3'] : ['python3', 'python']

/**
 * @typedef {object} Machine how to look at the machine; tests put others in
 * @property {(command: string, args: string[], options?: { cwd?: string }) => string | null} probe
 * @property {(path: string) => number} freeBytes
 */

/** @type {Machine} */
export const MACHINE = { probe, freeBytes }

/**
 * Problems that stand in the way of assembling libtorch.
 * @param {string} cache @param {Machine} [machine] @returns {string[]}
 */
export function assemblyProblems(cache, machine = MACHINE) {
  const problems = []
  const python = findPython(machine)
  if (python === null) {
    problems.push(
      'Python 3 is missing (it fetches and unpacks libtorch): install Python 3 with pip and run again.',
    )
  } else if (machine.probe(python, ['-m', 'pip', '--version']) === null) {
    problems.push(
      `pip is missing for ${python}: install it (Debian and Ubuntu: apt install python3-pip, elsewhere: ${python} -m ensurepip) and run again.`,
    )
  }
  const free = machine.freeBytes(cache)
  if (free < CACHE_GIB * GIB) {
    problems.push(
      `${(free / GIB).toFixed(1)} GB are free for ${cache}, about ${CACHE_GIB} GB are needed: free some or set NNCLR_CACHE to a folder on another disk.`,
    )
  }
  return problems
}

/**
 * Problems that stand in the way of building the addon.
 * @param {string} root @param {Machine} [machine] @returns {string[]}
 */
export function compilerProblems(root, machine = MACHINE) {
  const problems = []
  const channel = toolchain(root)
  if (machine.probe('cargo', ['--version'], { cwd: root }) === null) {
    problems.push(
      machine.probe('rustup', ['--version'], { cwd: root }) === null
        ? `cargo is missing: install Rust with rustup (see rustup.rs; this project uses ${channel}), open a new shell and run again.`
        : `Rust ${channel} is not installed: run \`rustup toolchain install ${channel} --component rustfmt --component clippy\` and run again.`,
    )
  }
  // With MSVC the build finds the compiler itself, and it is not on PATH.
  if (
    process.platform !== 'win32' &&
    machine.probe(process.env.CXX || 'c++', ['--version']) === null
  ) {
    problems.push(
      'a C++ compiler is missing (c++): install one (Debian and Ubuntu: apt install g++, Fedora: dnf install gcc-c++, macOS: xcode-select --install) and run again.',
    )
  }
  return problems
}

/** The Python to use, or null. @param {Machine} [machine] @returns {string | null} */
export function findPython(machine = MACHINE) {
  return PYTHONS.find((name) => machine.probe(name, ['--version'])?.startsWith('Python 3')) ?? null
}

function toolchain(root) {
  const text = readFileSync(join(root, 'rust-toolchain.toml'), 'utf8')
  return /channel\s*=\s*"([^"]+)"/.exec(text)?.[1] ?? 'stable'
}

/** Free bytes on the disk of a path that may not exist yet. */
function freeBytes(path) {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      const { bavail, bsize } = statfsSync(folder)
      return bavail * bsize
    } catch (error) {
      if (error.code !== 'ENOENT' || folder === dirname(folder)) throw error
    }
  }
}
