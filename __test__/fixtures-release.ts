// The scripts of a release with their types, a repository to release, and a registry that takes packages.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT: string = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')

export interface Manifest {
  name: string
  version: string
  repository?: { type: string; url: string }
  nnclr?: { sha256: Record<string, string> }
  dist?: { integrity: string }
}
export interface Package {
  name: string
  version: string
  path: string
  integrity: string
  manifest: Manifest
}
export interface Step {
  name: string
  look: () => string
  act?: () => void
  undo?: () => void
}
interface Scripts {
  section: (changelog: string, version: string) => string
  dated: (changelog: string, version: string, date: string) => string
  differences: (root: string, version: string) => { file: string; found: string }[]
  checkVersion: (version: string) => void
  VERSION_FILES: string[]
  packagesIn: (folder: string) => Package[]
  publishWords: (
    one: { path: string; version: string },
    how?: { dryRun?: boolean; provenance?: boolean },
  ) => string[]
  verdict: (one: Package, there: Manifest | null) => { what: string; why: string }
  repositoryUrl: (manifest: object) => string
  checkTag: (root: string, tag: string, repository?: string) => void
  runSteps: (steps: Step[], options: { dryRun?: boolean; say?: (text: string) => void }) => number
  writingSteps: (root: string, version: string, date: string) => Step[]
}

const NAMES = [
  ...['changelog', 'versions', 'packages', 'publish', 'verdict', 'repository', 'check-tag'],
  ...['run-steps', 'writing-steps'],
]
const modules = await Promise.all(
  NAMES.map((name) => import(join(ROOT, `scripts/release/${name}.mjs`))),
)
export const scripts: Scripts = Object.assign({}, ...modules)

type Teardown = { teardown: (undo: () => void) => void }

export function temporary(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'nnclr-release-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export function write(folder: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
}

export function git(folder: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync('git', words, { cwd: folder, encoding: 'utf8' })
  if (status !== 0) throw new Error(`git ${words.join(' ')}: ${stderr}`)
  return stdout.trim()
}

/** A clone with this repository's manifests, committed on main, whose changelog is about to get a date. */
export function clone(t: Teardown, changelog: string): { work: string; origin: string } {
  const folder = temporary(t)
  const [work, origin] = [join(folder, 'work'), join(folder, 'origin')]
  mkdirSync(work)
  git(folder, 'init', '--quiet', '--bare', origin)
  git(work, 'init', '--quiet', '--initial-branch', 'main')
  for (const [key, value] of [
    ['user.name', 'A'],
    ['user.email', 'a@example.org'],
    ['commit.gpgsign', 'false'],
    ['tag.gpgsign', 'false'],
    ['core.hooksPath', '.git/hooks'],
  ] as const)
    git(work, 'config', key, value)
  for (const file of scripts.VERSION_FILES)
    write(work, { [file]: readFileSync(join(ROOT, file), 'utf8') })
  write(work, { 'CHANGELOG.md': changelog })
  git(work, 'add', '.')
  git(work, 'commit', '--quiet', '--message', 'before')
  git(work, 'remote', 'add', 'origin', origin)
  return { work, origin }
}

/** Packs a package with a README into a folder. */
export function tarball(folder: string, manifest: object, readme = 'read'): string {
  const { name } = manifest as Manifest
  const stage = join(folder, 'stage', name)
  write(stage, { 'package/package.json': JSON.stringify(manifest), 'package/README.md': readme })
  const path = join(folder, `${name.replace(/\W+/g, '-')}.tgz`)
  const { status } = spawnSync('tar', ['-czf', path, '-C', stage, 'package'])
  if (status !== 0) throw new Error(`tar could not write ${path}`)
  return path
}

export interface Registry {
  url: string
  /** What it took, `name@version`, in order. */
  taken: string[]
}

/** A registry in this process: it tells what it has and takes what it is given. */
export async function startRegistry(t: Teardown): Promise<Registry> {
  const documents = new Map<string, string>()
  const taken: string[] = []
  const server = createServer(async (request, response) => {
    const name = decodeURIComponent((request.url ?? '').split('?')[0] ?? '').slice(1)
    response.setHeader('content-type', 'application/json')
    if (request.method === 'PUT') {
      const body = Buffer.concat(await request.toArray()).toString()
      const { versions } = JSON.parse(body) as { versions: Record<string, Manifest> }
      taken.push(...Object.keys(versions).map((version) => `${name}@${version}`))
      documents.set(name, body)
      return response.writeHead(201).end('{}')
    }
    const document = documents.get(name)
    return response.writeHead(document ? 200 : 404).end(document ?? '{"error":"not found"}')
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, taken }
}

/** Runs publish.mjs beside a folder `packages`, as the workflow does. */
export function publish(
  folder: string,
  registry: string,
  words: string[],
): Promise<{ code: number | null; output: string }> {
  const script = join(ROOT, 'scripts/release/publish.mjs')
  const child = spawn(process.execPath, [script, ...words, 'packages'], {
    cwd: folder,
    env: {
      ...process.env,
      npm_config_registry: registry,
      npm_config_cache: join(folder, 'cache'),
      npm_config_update_notifier: 'false',
      npm_config_fetch_retries: '0',
      [`npm_config_${registry.replace('http:', '')}:_authToken`]: 'token',
    },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  return new Promise((done) => child.on('close', (code) => done({ code, output })))
}
