// A release: it can be repeated after a failure, and publishes each package once, in order.
import { readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import test from 'ava'
import {
  clone,
  git,
  type Manifest,
  publish,
  ROOT,
  scripts,
  startRegistry,
  tarball,
  temporary,
  write,
} from './fixtures-release.js'

const onLinux = process.platform === 'linux' ? test : test.skip
const LIBTORCH = '@nnclr/libtorch-linux-x64-gnu'
const LIBRARIES = { 'torch/lib/libc10.so': 'aa', 'torch/lib/libtorch_cpu.so': 'bb' }
const CHANGELOG = `# Changelog

## [1.1.0] - unreleased

### Added

- This.
- That.

## [1.0.0] - 2026-01-01

- First.
`

function libtorch(version: string, sha256: Record<string, string> = LIBRARIES): object {
  return { name: LIBTORCH, version, nnclr: { sha256 } }
}

test('the changelog gives a version its section and its date, once', (t) => {
  t.is(scripts.section(CHANGELOG, '1.1.0'), '### Added\n\n- This.\n- That.')
  t.throws(() => scripts.section(CHANGELOG, '1.2.0'), { message: /no section "## \[1\.2\.0\]"/ })
  t.throws(() => scripts.section('## [2.0.0] - unreleased\n\n## [1.0.0]', '2.0.0'), {
    message: /lists nothing/,
  })
  const dated = scripts.dated(CHANGELOG, '1.1.0', '2026-02-03')
  t.true(dated.includes('## [1.1.0] - 2026-02-03\n\n### Added'))
  t.throws(() => scripts.dated(dated, '1.1.0', '2026-02-04'), { message: /2026-02-03 already/ })
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest
  const ours = readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')
  t.notThrows(() => scripts.section(ours, version))
})

test('one version stands in every manifest and lockfile', (t) => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest
  t.deepEqual(scripts.differences(ROOT, version), [])
  const files = scripts.differences(ROOT, '99.0.0').map(({ file }) => file)
  t.true(['package.json', 'Cargo.toml', 'Cargo.lock'].every((file) => files.includes(file)))
  t.notThrows(() => scripts.checkVersion('1.2.3-rc.1'))
  t.throws(() => scripts.checkVersion('v1.2'), { message: /"v1\.2", expected one like 1\.2\.3/ })
})

onLinux('a release whose push fails leaves everything as it was, and then succeeds', (t) => {
  const { work, origin } = clone(t, CHANGELOG)
  const head = git(work, 'rev-parse', 'HEAD')
  const said: string[] = []
  const say = (text: string) => said.push(text)
  const release = () => scripts.runSteps(scripts.writingSteps(work, '1.1.0', '2026-02-03'), { say })

  git(work, 'remote', 'set-url', 'origin', `${origin}-away`)
  t.is(release(), 1)
  t.regex(said.join('\n'), /STOP: git push --atomic origin main v1\.1\.0 failed/)
  t.is(git(work, 'rev-parse', 'HEAD'), head)
  t.is(git(work, 'status', '--porcelain'), '')
  t.is(git(work, 'tag', '--list'), '')

  git(work, 'remote', 'set-url', 'origin', origin)
  t.is(release(), 0, said.join('\n'))
  t.is(git(work, 'status', '--porcelain'), '')
  t.is(git(origin, 'rev-parse', 'v1.1.0^{commit}'), git(origin, 'rev-parse', 'main'))
  const released = (file: string) => git(origin, 'show', `v1.1.0:${file}`)
  t.is((JSON.parse(released('package.json')) as Manifest).version, '1.1.0')
  t.regex(released('CHANGELOG.md'), /^## \[1\.1\.0\] - 2026-02-03$/m)
  t.deepEqual(scripts.differences(work, '1.1.0'), [])
})

onLinux('a release touches neither work that was begun meanwhile nor a tag of others', (t) => {
  const { work } = clone(t, CHANGELOG)
  const say = () => {}
  const release = () => scripts.runSteps(scripts.writingSteps(work, '1.1.0', '2026-02-03'), { say })
  write(work, { 'Cargo.toml': 'begun' })
  t.is(release(), 1)
  t.is(readFileSync(join(work, 'Cargo.toml'), 'utf8'), 'begun')
  t.is(git(work, 'diff', '--name-only'), 'Cargo.toml')

  git(work, 'checkout', '--quiet', 'Cargo.toml')
  git(work, 'tag', 'v1.1.0')
  t.is(release(), 1)
  t.is(git(work, 'tag', '--list'), 'v1.1.0')
  t.is(git(work, 'log', '--oneline').split('\n').length, 1)
  t.is(git(work, 'status', '--porcelain'), '')
})

test('a rehearsal of steps looks at all of them and does nothing', (t) => {
  const done: string[] = []
  const step = (name: string, look: () => string) => ({ name, look, act: () => done.push(name) })
  const fails = () => {
    throw new Error('not so')
  }
  const steps = [step('a', () => 'so'), step('b', fails), step('c', () => 'so'), step('d', fails)]
  const said: string[] = []
  t.is(scripts.runSteps(steps, { dryRun: true, say: (text) => said.push(text) }), 2)
  t.deepEqual(done, [])
  t.is(said.filter((text) => text.includes('STOP: not so')).length, 2)
  t.is(scripts.runSteps(steps, { say: () => {} }), 1)
  t.deepEqual(done, ['a'])
})

onLinux('a tag that is not the version of the tree, or of another repository, is refused', (t) => {
  const { work } = clone(t, CHANGELOG.replace('unreleased', '2026-02-03'))
  const { version } = JSON.parse(readFileSync(join(work, 'package.json'), 'utf8')) as Manifest
  const refused = (tag: string, message: RegExp, repository?: string) =>
    t.throws(() => scripts.checkTag(work, tag, repository), { message })
  refused('1.1.0', /the tag is "1\.1\.0", expected one like v1\.2\.3/)
  refused('v1.1.0', new RegExp(`the tag is v1\\.1\\.0, but package\\.json says ${version}`))
  const packageJson = readFileSync(join(work, 'package.json'), 'utf8')
  const named = (url: string) => ({ ...(JSON.parse(packageJson) as object), repository: { url } })
  const release = (manifest: object, changelog: string) => {
    write(work, { 'package.json': JSON.stringify(manifest, null, 2), 'CHANGELOG.md': changelog })
  }
  const dated = `## [${version}] - 2026-02-03\n\n- This.\n`
  release(named(''), dated)
  refused(`v${version}`, /package\.json of nnclr has no field "repository"/)
  release(named('git+https://example.org/a/b.git'), dated.replace('2026-02-03', 'unreleased'))
  refused(`v${version}`, /gives \[.*\] no date/)
  release(named('git+https://example.org/a/b.git'), dated)
  refused(`v${version}`, /names the repository .*\/a\/b\.git, but this is a\/c/, 'a/c')
  t.notThrows(() => scripts.checkTag(work, `v${version}`, 'A/b'))
})

test('packages are published in the order in which they ask for each other', (t) => {
  const folder = temporary(t)
  t.throws(() => scripts.packagesIn(folder), { message: /holds no tarballs/ })
  for (const name of ['nnclr', '@nnclr/linux-x64-gnu', LIBTORCH])
    tarball(folder, { name, version: '1.0.0' })
  const packages = scripts.packagesIn(folder)
  t.deepEqual(
    packages.map(({ name }) => name),
    [LIBTORCH, '@nnclr/linux-x64-gnu', 'nnclr'],
  )
  t.true(packages.every(({ path }) => isAbsolute(path)))
  const words = (version: string, how = {}) =>
    scripts.publishWords({ path: '/a.tgz', version }, how).join(' ')
  t.regex(words('1.0.0'), /^publish \/a\.tgz .*--tag latest .*--provenance$/)
  t.regex(words('1.0.0-rc.1'), /--tag next/)
  t.regex(words('1.0.0', { dryRun: true }), /^(?!.*--provenance).*--dry-run$/)
})

test("libtorch's version is left alone while its libraries are the same, whatever else changed", (t) => {
  const folder = temporary(t)
  const packed = (manifest: object, readme = 'read') => {
    tarball(folder, manifest, readme)
    const [one] = scripts.packagesIn(folder)
    if (!one) throw new Error('nothing packed')
    return one
  }
  const first = packed(libtorch('2.13.0'))
  const there = { ...first.manifest, dist: { integrity: first.integrity } }
  t.is(scripts.verdict(first, null).what, 'publish')
  t.is(scripts.verdict(first, there).what, 'leave')

  const reworded = packed(libtorch('2.13.0'), 'another README')
  t.not(reworded.integrity, first.integrity)
  t.like(scripts.verdict(reworded, there), {
    what: 'leave',
    why: `${LIBTORCH}@2.13.0 is published already with the same libraries`,
  })

  const changed = { ...LIBRARIES, 'torch/lib/libc10.so': 'cc', 'torch/lib/more.so': 'dd' }
  const refused = scripts.verdict(packed(libtorch('2.13.0', changed)), there)
  t.is(refused.what, 'refuse')
  t.regex(refused.why, /with other libraries \(torch\/lib\/libc10\.so, torch\/lib\/more\.so\)/)
  const unknown = { name: LIBTORCH, version: '2.13.0', dist: { integrity: 'sha512-x' } }
  t.is(scripts.verdict(reworded, unknown).what, 'refuse')
})

test('an addon that was built anew is not published under its old version', (t) => {
  const folder = temporary(t)
  tarball(folder, { name: 'nnclr', version: '1.0.0' })
  const [one] = scripts.packagesIn(folder)
  if (!one) return t.fail()
  const { what, why } = scripts.verdict(one, { ...one.manifest, dist: { integrity: 'sha512-x' } })
  t.is(what, 'refuse')
  t.regex(why, /nnclr@1\.0\.0 is published with other content: sha512-x, here sha512-.*Re-run/)
})

test('without a repository in every package nothing is published', async (t) => {
  const folder = temporary(t)
  const registry = await startRegistry(t)
  write(folder, { 'packages/keep': '' })
  const repository = { type: 'git', url: 'git+https://example.org/a/b.git' }
  tarball(join(folder, 'packages'), { ...libtorch('2.13.0'), repository })
  tarball(join(folder, 'packages'), { name: 'nnclr', version: '1.0.0' })
  const { code, output } = await publish(folder, registry.url, [])
  t.is(code, 1)
  t.regex(output, /package\.json of nnclr has no field "repository".*"git\+https:/)
  t.deepEqual(registry.taken, [])
})

onLinux('npm rehearses, publishes and, the second time, has nothing to publish', async (t) => {
  const folder = temporary(t)
  const registry = await startRegistry(t)
  write(folder, { 'packages/keep': '' })
  tarball(join(folder, 'packages'), libtorch('2.13.0'))
  tarball(join(folder, 'packages'), { name: 'nnclr', version: '1.0.0-rc.1' })

  const rehearsed = await publish(folder, registry.url, ['--dry-run'])
  t.is(rehearsed.code, 0, rehearsed.output)
  t.is(rehearsed.output.match(/^\+ .*@/gm)?.length, 2, rehearsed.output)
  t.deepEqual(registry.taken, [])

  const published = await publish(folder, registry.url, ['--without-provenance'])
  t.is(published.code, 0, published.output)
  t.deepEqual(registry.taken, [`${LIBTORCH}@2.13.0`, 'nnclr@1.0.0-rc.1'])

  tarball(join(folder, 'packages'), libtorch('2.13.0'), 'another README')
  const again = await publish(folder, registry.url, ['--without-provenance'])
  t.is(again.code, 0, again.output)
  t.regex(again.output, /libtorch.*the same libraries\nnnclr@1\.0\.0-rc\.1 is published already\n/)
  t.is(registry.taken.length, 2)
})

test('a registry that does not answer is not taken for one that has nothing', async (t) => {
  const folder = temporary(t)
  write(folder, { 'packages/keep': '' })
  tarball(join(folder, 'packages'), { name: 'nnclr', version: '1.0.0' })
  const { code, output } = await publish(folder, 'http://127.0.0.1:9/', ['--dry-run'])
  t.is(code, 1)
  t.regex(output, /publish: the registry does not tell whether it has nnclr@1\.0\.0/)
})
