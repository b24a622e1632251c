import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** A source file: its path from the root, and its text without comments. */
interface Source {
  readonly path: string
  readonly code: string
}

async function sources(folder: string, ending: string): Promise<Source[]> {
  const names = await readdir(join(ROOT, folder), { recursive: true })
  const paths = names.filter((name) => name.endsWith(ending)).map((name) => join(folder, name))
  return Promise.all(
    paths.sort().map(async (path) => {
      const text = await readFile(join(ROOT, path), 'utf8')
      return { path, code: text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '') }
    }),
  )
}

/** What a TypeScript file imports: packages as they are, files by their path from the root. */
function importsOf({ path, code }: Source): string[] {
  const found = code.matchAll(/(?:from|import|import\(|require\()\s*\(?'([^']+)'/g)
  return [...found].map(([, name = '']) => {
    return name.startsWith('.') ? join(dirname(path), name).replace(/\.js$/, '.ts') : name
  })
}

/** Everything that a file imports, directly or through others. */
function reachable(from: string, all: readonly Source[]): Set<string> {
  const seen = new Set<string>()
  const visit = (path: string): void => {
    const source = all.find((other) => other.path === path)
    for (const name of source === undefined ? [] : importsOf(source)) {
      if (seen.has(name)) continue
      seen.add(name)
      visit(name)
    }
  }
  visit(from)
  return seen
}

/** Fails with the names of the offending files. */
function none(t: ExecutionContext, offenders: readonly Source[]): void {
  t.deepEqual(
    offenders.map(({ path }) => path),
    [],
  )
}

const PURE = [/^ts\/config\.ts$/, /^ts\/config\//, /^ts\/(sampler|presets|events|errors)\.ts$/]

test('the readers of this test see what they should', async (t) => {
  const all = await sources('ts', '.ts')
  const native = all.find(({ path }) => path === 'ts/native.ts')
  const imports = [
    'node:worker_threads',
    'ts/binding/index.cjs',
    'ts/cuda/choice.ts',
    'ts/errors.ts',
    'ts/load-addon.ts',
  ]
  t.deepEqual([...new Set(native === undefined ? [] : importsOf(native))], imports)
  t.true(reachable('ts/index.ts', all).has('ts/native.ts'))
  t.true((await sources('crate/src', '.rs')).length > 20)
})

test('configuration, sampler, presets, events and errors know no files and no addon', async (t) => {
  const all = await sources('ts', '.ts')
  const pure = all.filter(({ path }) => PURE.some((pattern) => pattern.test(path)))
  t.true(pure.length >= 12)
  const forbidden = /^(node:fs|node:fs\/promises|fs|ts\/native\.ts|ts\/binding\/.*)$/
  // Types alone may come from anywhere: they leave nothing behind.
  const withoutTypes = all.map(({ path, code }) => {
    return { path, code: code.replace(/^(import|export) type [\s\S]*?from '[^']+'/gm, '') }
  })
  none(
    t,
    pure.filter(({ path }) => {
      return [...reachable(path, withoutTypes)].some((name) => forbidden.test(name))
    }),
  )
})

test('ts/native.ts alone imports the addon', async (t) => {
  const all = await sources('ts', '.ts')
  const isAddon = (name: string) => name.startsWith('ts/binding') || name.endsWith('.node')
  const importers = all.filter((source) => importsOf(source).some(isAddon))
  t.deepEqual(
    importers.map(({ path }) => path),
    ['ts/native.ts'],
  )
})

test('what train stands on imports neither the command line nor the report', async (t) => {
  const below = reachable('ts/index.ts', await sources('ts', '.ts'))
  t.true(below.has('ts/train.ts'))
  t.deepEqual(
    [...below].filter((name) => /^ts\/(cli|report)/.test(name)),
    [],
  )
})

test('the command line uses the public interface for its work', async (t) => {
  const commands = (await sources('ts/cli', '.ts')).filter(({ path }) => path.includes('-command'))
  t.true(commands.length >= 4)
  const inner = /^ts\/(train|embed|evaluate|checkpoint|session|native|loader)\.ts$/
  none(
    t,
    commands.filter((source) => importsOf(source).some((name) => inner.test(name))),
  )
})

test('nothing but the command line prints', async (t) => {
  const quiet = (await sources('ts', '.ts')).filter(({ path }) => !/^ts\/cli(\/|\.ts$)/.test(path))
  none(
    t,
    quiet.filter(({ code }) => /\bconsole\.|process\.(stdout|stderr)\b/.test(code)),
  )
})

test('in the crate only binding/ knows napi', async (t) => {
  const crate = await sources('crate/src', '.rs')
  const isBinding = ({ path }: Source) => path.startsWith('crate/src/binding/')
  const knowing = crate.filter(({ code }) => /\bnapi(_derive)?(::|\b.*;)/.test(code))
  t.true(knowing.some(isBinding))
  none(
    t,
    knowing.filter((source) => !isBinding(source)),
  )
})

test('image/ and the loader know no torch, nn/ no files and no threads', async (t) => {
  const crate = await sources('crate/src', '.rs')
  const within = (folder: RegExp) => crate.filter(({ path }) => folder.test(path))
  const pictures = within(/^crate\/src\/(image|loader)(\/|\.rs$)/)
  t.true(pictures.length > 8)
  none(
    t,
    pictures.filter(({ code }) => /\btch\b/.test(code)),
  )
  const network = within(/^crate\/src\/nn\//)
  t.true(network.length > 4)
  none(
    t,
    network.filter(({ code }) => /std::(fs|thread|net|process)\b|\bFile::/.test(code)),
  )
})

test('every path that docs/architecture.md names is there', async (t) => {
  const document = join(ROOT, 'docs/architecture.md')
  if (!existsSync(document)) {
    t.pass()
    return
  }
  const text = await readFile(document, 'utf8')
  const named = [
    ...text.matchAll(/`((?:ts|crate|scripts|docs|__test__|examples|bench|npm)\/[\w./-]*)/g),
  ]
  const missing = named.map(([, path = '']) => path).filter((path) => !existsSync(join(ROOT, path)))
  t.true(named.length > 0)
  t.deepEqual(
    missing.map((path) => relative(ROOT, join(ROOT, path))),
    [],
  )
})
