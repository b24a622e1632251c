import { chmod, mkdir, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import test from 'ava'
import fc from 'fast-check'
import { compareBytes, sortByBytes } from '../ts/data/byte-order.js'
import { alignedLabels, type Dataset } from '../ts/data/dataset.js'
import { ImageFolder, type ImageFolderOptions } from '../ts/data/image-folder.js'
import { NnclrError } from '../ts/errors.js'
import { temporaryFolder, touch } from './temporary-folder.js'

async function listed(root: string, options?: ImageFolderOptions): Promise<string[]> {
  const set = await new ImageFolder(root, options).open()
  return relative(root, set)
}

function relative(root: string, set: Dataset): string[] {
  return Array.from({ length: set.length }, (_, i) => set.path(i).slice(root.length + 1))
}

test('lists pictures of every kind, in byte order, without other and hidden files', async (t) => {
  const root = await temporaryFolder(t)
  await touch(root, 'b.JPG', 'a.png', 'Z.webp', 'a.txt', '.hidden.png', 'é.gif', 'x.bmp', 'y.TIFF')
  await touch(root, 'z.tif', 'deep/er/c.jpeg', '.git/d.png', 'noending', 'png')
  t.deepEqual(await listed(root), [
    'Z.webp',
    'a.png',
    'b.JPG',
    'deep/er/c.jpeg',
    'x.bmp',
    'y.TIFF',
    'z.tif',
    'é.gif',
  ])
})

test('the first folder level is the class when every picture lies in one', async (t) => {
  const root = await temporaryFolder(t)
  await touch(root, 'dog/1.png', 'cat/x/2.png', 'cat/1.png', 'cat-2/1.png', 'notes.txt')
  await mkdir(join(root, 'empty'))
  const set = await new ImageFolder(root).open()
  t.deepEqual(relative(root, set), ['cat/1.png', 'cat/x/2.png', 'cat-2/1.png', 'dog/1.png'])
  t.deepEqual(set.classes, ['cat', 'cat-2', 'dog'])
  t.deepEqual(set.labels, Int32Array.of(0, 0, 1, 2))
})

test('one picture in the root itself means no labels', async (t) => {
  const root = await temporaryFolder(t)
  await touch(root, 'dog/1.png', 'cat/1.png', 'x.png')
  const set = await new ImageFolder(root).open()
  t.is(set.labels, null)
  t.is(set.classes, null)
})

test('links are followed within the folder only, unless asked, and loops end', async (t) => {
  const base = await temporaryFolder(t)
  const root = join(base, 'root')
  await touch(base, 'root/in/1.png', 'outside/2.png', 'rooted/3.png')
  await symlink(join(root, 'in'), join(root, 'again'))
  await symlink(join(base, 'outside'), join(root, 'out'))
  await symlink(join(base, 'rooted'), join(root, 'prefix'))
  await symlink(join(base, 'outside/2.png'), join(root, 'in/2.png'))
  await symlink('..', join(root, 'in/up'))
  await symlink(join(root, 'nowhere'), join(root, 'broken.png'))
  const set = await new ImageFolder(root).open()
  t.deepEqual(relative(root, set), ['again/1.png', 'in/1.png'])
  t.regex(set.notes.join('\n'), /4 links that lead out/)
  t.regex(set.notes.join('\n'), /lead back to a folder/)
  t.regex(set.notes.join('\n'), /1 links that lead nowhere, for example .*broken\.png/)
  t.deepEqual(await listed(root, { followLinks: true }), [
    'again/1.png',
    'again/2.png',
    'in/1.png',
    'in/2.png',
    'out/2.png',
    'prefix/3.png',
  ])
})

test('the folder itself may be a link', async (t) => {
  const base = await temporaryFolder(t)
  await touch(base, 'real/1.png')
  await symlink(join(base, 'real'), join(base, 'link'))
  t.deepEqual(await listed(join(base, 'link')), ['1.png'])
})

test('missing, a file, and without pictures are told apart', async (t) => {
  const root = await temporaryFolder(t)
  const message = async (path: string): Promise<string> => {
    const error = await t.throwsAsync(new ImageFolder(path).open(), { instanceOf: NnclrError })
    t.is(error.code, 'IO')
    t.is(error.subject, path)
    return error.message
  }
  t.regex(await message(join(root, 'no')), /the folder .*no does not exist/)
  t.regex(await message(root), /no pictures in .*: it holds no files/)
  await touch(root, 'a.txt')
  t.regex(await message(root), /none of its 1 files has a picture's ending \(jpg/)
  t.regex(await message(join(root, 'a.txt')), /a\.txt is not a folder/)
  const empty = t.throws(() => new ImageFolder(''), { instanceOf: NnclrError })
  t.is(empty.code, 'CONFIG')
})

test.serial('unreadable folders are named', async (t) => {
  if (process.geteuid === undefined) {
    t.pass('no such rights here')
    return
  }
  const root = await temporaryFolder(t)
  await touch(root, 'a/1.png', 'locked/2.png')
  await chmod(root, 0o755)
  await chmod(join(root, 'locked'), 0o000)
  // root reads everything, so the test becomes somebody else for a moment.
  const wasRoot = process.geteuid() === 0
  if (wasRoot) process.seteuid?.(65_534)
  try {
    const error = await t.throwsAsync(new ImageFolder(root).open(), { instanceOf: NnclrError })
    t.is(error.code, 'IO')
    t.true(error.message.includes(join(root, 'locked')))
    t.true(error.message.includes('permission denied'))
  } finally {
    if (wasRoot) process.seteuid?.(0)
    await chmod(join(root, 'locked'), 0o755)
  }
})

test('the fingerprint follows names and labels, not the place', async (t) => {
  const base = await temporaryFolder(t)
  await touch(base, 'one/a/1.png', 'one/b/2.png')
  const print = async (name: string): Promise<string> =>
    (await new ImageFolder(join(base, name)).open()).fingerprint
  const first = await print('one')
  t.regex(first, /^[0-9a-f]{64}$/)
  await rename(join(base, 'one'), join(base, 'two'))
  t.is(await print('two'), first)
  await touch(base, 'two/b/3.png')
  t.not(await print('two'), first)
  await rm(join(base, 'two/b/3.png'))
  t.is(await print('two'), first)
})

test('labels of two folders agree by class name', async (t) => {
  const root = await temporaryFolder(t)
  await touch(
    root,
    'train/b/1.png',
    'train/c/1.png',
    'test/a/1.png',
    'test/b/1.png',
    'test/c/1.png',
  )
  const train = await new ImageFolder(join(root, 'train')).open()
  const held = await new ImageFolder(join(root, 'test')).open()
  t.deepEqual(alignedLabels(train, held), Int32Array.of(-1, 0, 1))
})

test('sorting by bytes agrees with comparing UTF-8, in one piece and in many', async (t) => {
  const name = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\uffff', '\u{10000}', 'a'))
  await fc.assert(
    fc.asyncProperty(fc.array(name), async (names) => {
      const sorted = await sortByBytes([...names], (x) => x)
      t.deepEqual(sorted, [...names].sort(compareBytes))
    }),
  )
  const many = Array.from({ length: 30_000 }, (_, i) => String((i * 7919) % 30_011))
  t.deepEqual(await sortByBytes(many, (x) => x), [...many].sort())
})

test.serial('a folder of many pictures leaves the event loop free', async (t) => {
  const root = await temporaryFolder(t)
  const names = Array.from({ length: 20_000 }, (_, i) => `c${i % 4}/${(i * 7919) % 1_000_003}.png`)
  for (let i = 0; i < names.length; i += 500) {
    await Promise.all(names.slice(i, i + 500).map((name) => touch(root, name)))
  }
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const started = performance.now()
  const set = await new ImageFolder(root).open()
  const took = performance.now() - started
  delay.disable()
  t.is(set.length, 20_000)
  t.log(`${took.toFixed(0)} ms, longest pause ${(delay.max / 1e6).toFixed(0)} ms`)
  t.true(delay.max / 1e6 < 200)
})
