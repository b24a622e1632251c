// What we build on: registries only, known licences only, pinned by checksum, no runtime npm dependency by accident.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { npmCommand } from './setup/packages.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Permissive licences; a new one is added here and in deny.toml, with a thought. */
const ALLOWED = new Set([
  'MIT',
  'MIT-0',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'Zlib',
  '0BSD',
  'BSL-1.0',
  'CC0-1.0',
  'Unlicense',
  'Unicode-3.0',
  'BlueOak-1.0.0',
  'Python-2.0',
  'PSF-2.0',
  'CC-BY-4.0',
  'MPL-2.0',
])
/** Each entry is code in every user's process: CONTRIBUTING says why it is worth it. */
const RUNTIME_PACKAGES = new Set([])

const problems = [...crates(), ...lockedCrates(), ...packages()]
for (const problem of problems) console.error(`check-dependencies: ${problem}`)
process.exitCode = problems.length === 0 ? 0 : 1
runIfPresent('cargo', ['deny', '--version'], ['deny', '--log-level', 'error', 'check'])

/** Licences of the crates this platform builds: those are on the disk already. */
function crates() {
  const host = /host: (\S+)/.exec(
    spawnSync('rustc', ['-vV'], { cwd: ROOT, encoding: 'utf8' }).stdout ?? '',
  )?.[1]
  const args = [
    'metadata',
    '--format-version',
    '1',
    '--locked',
    '--filter-platform',
    host ?? 'unknown',
  ]
  const { status, stdout, stderr } = spawnSync('cargo', args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (status !== 0) return [`cargo metadata failed: ${stderr.trim().split('\n').pop()}`]
  return JSON.parse(stdout)
    .packages.filter((crate) => !isAllowed(crate.license ?? ''))
    .map((crate) => `crate ${crate.name} has the licence "${crate.license ?? 'none'}"`)
}

/** Every crate of every platform comes from the registry and has a checksum; only our own has no source. */
function lockedCrates() {
  return readFileSync(join(ROOT, 'Cargo.lock'), 'utf8')
    .split('[[package]]')
    .slice(1)
    .flatMap((text) => {
      const field = (name) => new RegExp(`^${name} = "([^"]*)"`, 'm').exec(text)?.[1]
      const name = field('name')
      if (name === 'nnclr') return []
      const source = field('source') ?? 'a path'
      if (!source.startsWith('registry+')) return [`crate ${name} comes from ${source}`]
      return field('checksum') ? [] : [`crate ${name} has no checksum`]
    })
}

function packages() {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  const unknown = Object.keys(manifest.dependencies ?? {}).filter(
    (name) => !RUNTIME_PACKAGES.has(name),
  )
  const found = unknown.map((name) => `package ${name} is a new runtime dependency`)
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path === '' || entry.link) continue
    if (entry.resolved)
      found.push(
        `${path}: the lockfile names a download host; run npm install with the repository's .npmrc`,
      )
    if (!entry.integrity) found.push(`${path} has no checksum`)
    if (!isAllowed(entry.license ?? ''))
      found.push(`${path} has the licence "${entry.license ?? 'none'}"`)
  }
  found.push(...missingPlatforms(lock.packages))
  const [command, args] = npmCommand()
  const tree = spawnSync(command, [...args, 'ls', '--all', '--silent'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  if (tree.status !== 0) found.push('npm ls finds missing or invalid packages: run npm ci')
  return found
}

/** npm leaves out optional packages it cannot reach, and then `npm ci` refuses the lockfile elsewhere. */
function missingPlatforms(entries) {
  const names = new Set(Object.keys(entries).map((path) => path.split('node_modules/').pop()))
  return Object.entries(entries).flatMap(([path, entry]) =>
    Object.keys(entry.optionalDependencies ?? {})
      .filter((name) => !names.has(name))
      .map((name) => `${path}: the lockfile lacks its optional package ${name}`),
  )
}

/** SPDX: AND needs all, OR one; a slash is the old way to write OR. */
function isAllowed(expression) {
  const tokens = expression.replaceAll('/', ' OR ').match(/\(|\)|[^\s()]+/g) ?? []
  let at = 0
  const any = () => {
    let value = all()
    while (tokens[at] === 'OR') {
      at += 1
      value = all() || value
    }
    return value
  }
  const all = () => {
    let value = one()
    while (tokens[at] === 'AND') {
      at += 1
      value = one() && value
    }
    return value
  }
  const one = () => {
    if (tokens[at] === '(') {
      at += 1
      const value = any()
      at += 1
      return value
    }
    const name = tokens[at]
    at += 1
    // An exception only permits more.
    if (tokens[at] === 'WITH') at += 2
    return ALLOWED.has(name)
  }
  return tokens.length > 0 && any() && at >= tokens.length
}

/** cargo-deny knows advisories as well; a machine without it has the checks above. */
function runIfPresent(command, version, args) {
  if (spawnSync(command, version, { cwd: ROOT }).status !== 0) return
  if (spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] }).status !== 0)
    process.exitCode = 1
}
