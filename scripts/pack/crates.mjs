// The Rust crates that are linked into the addon, with the licence texts they come with.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Crates published without a text, and whose text is theirs: another crate's, or a file's. */
const TEXT_ELSEWHERE = {
  napi: 'node_modules/@napi-rs/cli/LICENSE',
  'napi-sys': 'node_modules/@napi-rs/cli/LICENSE',
  'torch-sys': 'tch',
  safetensors: 'safetensors',
}
const LICENCE_FILE = /^(licen[cs]e|copying|copyright|notice|unlicense)/i

/**
 * @typedef {object} Crate
 * @property {string} name
 * @property {string} version
 * @property {string} licence SPDX
 * @property {string[]} texts
 */

/** @param {string} root @param {string} target @returns {Crate[]} */
export function linkedCrates(root, target) {
  const words = ['metadata', '--format-version', '1', '--locked', '--filter-platform', target]
  const { status, stdout, stderr } = spawnSync('cargo', words, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (status !== 0) throw new Error(`cargo metadata failed: ${stderr.trim().split('\n').pop()}`)
  const { packages, resolve, workspace_members: members } = JSON.parse(stdout)
  const byId = new Map(packages.map((crate) => [crate.id, crate]))
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]))
  const seen = new Set()
  const visit = (id) => {
    if (seen.has(id) || isMacro(byId.get(id))) return
    seen.add(id)
    // What only builds or tests the crate is not in the addon.
    for (const { pkg, dep_kinds: kinds } of nodes.get(id).deps)
      if (kinds.some(({ kind }) => kind === null)) visit(pkg)
  }
  for (const member of members) visit(member)
  const crates = [...seen]
    .filter((id) => !members.includes(id))
    .map((id) => describe(byId.get(id)))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  return crates.map((crate) => withText(crate, crates, root))
}

/** A licence without its text would not be kept: better no package. */
function withText(crate, crates, root) {
  if (crate.texts.length > 0) return crate
  const source = TEXT_ELSEWHERE[crate.name]
  const other = crates.find(({ name, texts }) => name === source && texts.length > 0)
  if (other) return { ...crate, texts: other.texts }
  if (source?.includes('/'))
    return { ...crate, texts: [readFileSync(join(root, source), 'utf8').trim()] }
  throw new Error(
    `crate ${crate.name} has no licence text: name its place in scripts/pack/crates.mjs`,
  )
}

/** A macro runs in the compiler. */
function isMacro({ targets }) {
  return targets.some(({ kind }) => kind.includes('proc-macro'))
}

function describe({ name, version, license, manifest_path: manifest }) {
  const folder = dirname(manifest)
  const files = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && LICENCE_FILE.test(entry.name))
    .map((entry) => join(folder, entry.name))
  const texts = files.sort().map((path) => readFileSync(path, 'utf8').trim())
  return { name, version, licence: (license ?? 'unknown').replaceAll('/', ' OR '), texts }
}
