import { createHash } from 'node:crypto'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { CIFAR10, CIFAR100, type CifarOptions } from '../ts/data/cifar.js'
import { filesOfTar } from '../ts/data/tar.js'
import { isAbort, NnclrError } from '../ts/errors.js'
import { temporaryFolder } from './temporary-folder.js'

const PIXELS = 3072
const NAMES_10 = Array.from({ length: 10 }, (_, i) => `class-${i}`).join('\n')

/** A row whose pixels all are `fill`. */
function row(fill: number, ...labels: number[]): Buffer {
  return Buffer.concat([Buffer.from(labels), Buffer.alloc(PIXELS, fill)])
}

/** Files of a tiny CIFAR-10: one row a training file, two test rows. */
function tinyFiles(): Record<string, Buffer> {
  const files: Record<string, Buffer> = { 'batches.meta.txt': Buffer.from(`${NAMES_10}\n\n`) }
  for (const part of [1, 2, 3, 4, 5]) files[`data_batch_${part}.bin`] = row(part, part + 3)
  files['test_batch.bin'] = Buffer.concat([row(100, 0), row(101, 9)])
  return files
}

/** A ustar header and the padded content. */
function tarEntry(name: string, content: Buffer, kind = '0'): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write('0000644\0', 100)
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124)
  header.write(kind, 156)
  header.write('ustar\0', 257)
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512)
  return Buffer.concat([header, content, padding])
}

function archiveOf(files: Record<string, Buffer>): Buffer {
  const folder = tarEntry('cifar-10-batches-bin/', Buffer.alloc(0), '5')
  const entries = Object.entries(files).map(([name, content]) =>
    tarEntry(`cifar-10-batches-bin/${name}`, content),
  )
  return gzipSync(Buffer.concat([folder, ...entries, Buffer.alloc(1024)]))
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}

/** A local server; gives its URL. */
async function serve(t: ExecutionContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mirror/`
}

async function refusal(
  t: ExecutionContext,
  root: string,
  options?: CifarOptions,
): Promise<NnclrError> {
  return t.throwsAsync(new CIFAR10(root, options).open(), { instanceOf: NnclrError })
}

test('CIFAR-10 files become planar pixels and labels', async (t) => {
  const root = await temporaryFolder(t)
  for (const [name, bytes] of Object.entries(tinyFiles())) await writeFile(join(root, name), bytes)
  const set = await new CIFAR10(root).open()
  t.is(set.length, 5)
  t.deepEqual(set.labels, Int32Array.of(4, 5, 6, 7, 8))
  t.is(set.classes?.[9], 'class-9')
  t.is(set.planar?.pixels.length, 5 * PIXELS)
  t.true(set.planar?.pixels.every((byte, i) => byte === 1 + Math.floor(i / PIXELS)))
  t.like(set.planar, { width: 32, height: 32 })
  t.is(set.path(3), 'cifar10/train/3')

  const held = await new CIFAR10(root, { split: 'test' }).open()
  t.deepEqual(held.labels, Int32Array.of(0, 9))
  t.not(held.fingerprint, set.fingerprint)
})

test('CIFAR-100 takes the fine label, and the folder of the archive', async (t) => {
  const root = await temporaryFolder(t)
  const folder = join(root, 'cifar-100-binary')
  await mkdir(folder)
  await writeFile(join(folder, 'train.bin'), Buffer.concat([row(7, 1, 99), row(8, 2, 0)]))
  const set = await new CIFAR100(root).open()
  t.deepEqual(set.labels, Int32Array.of(99, 0))
  t.is(set.classes, null)
  t.is(set.planar?.pixels[0], 7)
  t.is(set.planar?.pixels[PIXELS], 8)
})

test('missing and broken files are told', async (t) => {
  const root = await temporaryFolder(t)
  const missing = await refusal(t, root)
  t.is(missing.code, 'IO')
  t.regex(missing.message, /data_batch_1\.bin is neither in .* download: true/)

  for (const [name, bytes] of Object.entries(tinyFiles())) await writeFile(join(root, name), bytes)
  const part = join(root, 'data_batch_3.bin')
  await writeFile(part, row(1, 2).subarray(1))
  const short = await refusal(t, root)
  t.is(short.code, 'DECODE')
  t.is(short.subject, part)
  await writeFile(part, row(1, 10))
  t.regex((await refusal(t, root)).message, /row 0 has label 10, expected below 10/)
  await writeFile(part, '')
  t.is((await refusal(t, root)).code, 'DECODE')
})

test('wrong options are refused at once', (t) => {
  const wrong = { split: 'valid' } as unknown as CifarOptions
  t.is(t.throws(() => new CIFAR10('a', wrong), { instanceOf: NnclrError }).code, 'CONFIG')
  t.is(t.throws(() => new CIFAR10(''), { instanceOf: NnclrError }).code, 'CONFIG')
})

test('a download is checked, unpacked and used, and the second opening fetches nothing', async (t) => {
  const root = await temporaryFolder(t)
  const archive = archiveOf(tinyFiles())
  const asked: (string | undefined)[] = []
  const mirror = await serve(t, (request, response) => {
    asked.push(request.url)
    response.setHeader('content-length', archive.length)
    response.end(archive)
  })
  const told: [number, number | null][] = []
  const onProgress = (...progress: [number, number | null]): number => told.push(progress)
  const options = { download: true, mirror, md5: md5(archive), onProgress }
  const set = await new CIFAR10(root, options).open()
  t.is(set.length, 5)
  t.deepEqual(told.at(-1), [archive.length, archive.length])
  const held = await new CIFAR10(root, { ...options, split: 'test' }).open()
  t.is(held.length, 2)
  t.deepEqual(asked, ['/mirror/cifar-10-binary.tar.gz'])
  t.deepEqual(
    (await readdir(join(root, 'cifar-10-batches-bin'))).sort(),
    Object.keys(tinyFiles()).sort(),
  )
})

test('two downloads at once end with good files', async (t) => {
  const root = await temporaryFolder(t)
  const archive = archiveOf(tinyFiles())
  const mirror = await serve(t, (_, response) => response.end(archive))
  const open = (): Promise<unknown> =>
    new CIFAR10(root, { download: true, mirror, md5: md5(archive) }).open()
  await Promise.all([open(), open(), open()])
  t.is((await readdir(join(root, 'cifar-10-batches-bin'))).length, 7)
})

test('a failed download leaves nothing behind', async (t) => {
  const archive = archiveOf(tinyFiles())
  const { 'test_batch.bin': _, ...incomplete } = tinyFiles()
  const cut = archive.subarray(0, archive.length / 2)
  const cases: [string, RequestListener, Buffer, RegExp][] = [
    ['status', (_q, r) => r.writeHead(404).end(), archive, /the server answered 404/],
    ['another file', (_q, r) => r.end('hello'), archive, /has md5 .*, expected .*: it is damaged/],
    ['cut short', (_q, r) => r.end(cut), archive, /has md5/],
    ['no gzip', (_q, r) => r.end(cut), cut, /is no gzip archive/],
    [
      'a file lacks',
      (_q, r) => r.end(archiveOf(incomplete)),
      archiveOf(incomplete),
      /does not hold test_batch/,
    ],
    [
      'broken off',
      (_q, r) => r.writeHead(200, { 'content-length': 99_999 }).write('x', () => r.destroy()),
      archive,
      /cannot fetch/,
    ],
  ]
  for (const [name, listener, good, expected] of cases) {
    const root = await temporaryFolder(t)
    const mirror = await serve(t, listener)
    const error = await refusal(t, root, { download: true, mirror, md5: md5(good) })
    t.is(error.code, 'IO', name)
    t.regex(error.message, expected)
    t.deepEqual(await readdir(root), [])
  }
  const nobody = await refusal(t, await temporaryFolder(t), {
    download: true,
    mirror: 'http://127.0.0.1:1',
  })
  t.regex(nobody.message, /cannot fetch http:\/\/127\.0\.0\.1:1\/cifar-10-binary\.tar\.gz/)
})

test('the official checksum is used when no other is given', async (t) => {
  const mirror = await serve(t, (_, response) => response.end(archiveOf(tinyFiles())))
  const error = await refusal(t, await temporaryFolder(t), { download: true, mirror })
  t.regex(error.message, /expected c32a1d4ab5d03f1284b67883e8d87530/)
})

test('a signal stops a download with its own error', async (t) => {
  const stop = new AbortController()
  const mirror = await serve(t, () => stop.abort())
  const opened = new CIFAR10(await temporaryFolder(t), {
    download: true,
    mirror,
    signal: stop.signal,
  }).open()
  // A DOMException, which throwsAsync does not take for an error.
  const thrown: unknown = await opened.catch((error: unknown) => error)
  t.true(isAbort(thrown))
})

test('only regular files with wanted names come out of a tar archive', (t) => {
  const archive = Buffer.concat([
    tarEntry('a/one', Buffer.from('1')),
    tarEntry('a/two', Buffer.from('2'), '2'),
    tarEntry('../../three', Buffer.alloc(513, 3)),
    tarEntry('other', Buffer.from('x')),
    tarEntry('five', Buffer.from('5'), '\0'),
  ])
  const files = filesOfTar(archive, new Set(['one', 'two', 'three', 'four', 'five']))
  t.deepEqual([...files.keys()], ['one', 'three', 'five'])
  t.is(files.get('three')?.length, 513)
  for (let length = 0; length < archive.length; length += 100) {
    t.notThrows(() => filesOfTar(archive.subarray(0, length), new Set(['one', 'five'])))
  }
})
