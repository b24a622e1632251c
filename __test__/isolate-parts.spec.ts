import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import test from 'ava'
import type { DataInput, Dataset } from '../ts/data/dataset.js'
import { openDataset } from '../ts/data/open-dataset.js'
import { NnclrError } from '../ts/errors.js'
import { CIFAR10, ImageFolder } from '../ts/index.js'
import { dataOf, recordOfData } from '../ts/isolate/data-record.js'
import { processError } from '../ts/isolate/ended.js'
import { errorOf, recordOf } from '../ts/isolate/error-record.js'
import { fittingFlags } from '../ts/isolate/node-transport.js'
import { Joiner, type Piece, sendInPieces } from '../ts/isolate/pieces.js'
import { childEntry, unpacked } from '../ts/isolate/transport.js'
import { samples, writePictures } from './fixtures-pictures.js'
import { temporaryFolder, touch } from './temporary-folder.js'

/** Sends a message in clones, as a channel does; gives what arrives and the heaviest piece. */
async function sent<T>(message: T): Promise<{ arrived: T; pieces: Piece[] }> {
  const joiner = new Joiner()
  const messages: unknown[] = []
  await sendInPieces({ send: async (part) => void messages.push(structuredClone(part)) }, message)
  const pieces = messages.slice(0, -1) as Piece[]
  for (const piece of pieces) joiner.take(piece)
  return { arrived: joiner.join(messages.at(-1)) as T, pieces }
}

test('large arrays go in pieces and arrive whole', async (t) => {
  const features = Float32Array.from({ length: 1_500_001 }, (_, i) => i)
  const paths = Array.from({ length: 100_000 }, (_, i) => `a/folder/of/pictures/${i}.png`)
  const pictures = [5_000_000, 3].map((length) => ({ bytes: new Uint8Array(length).fill(7) }))
  const rest = { labels: Int32Array.from([1, 2, 3]), nothing: null, missing: undefined }
  const message = { type: 'result', result: { features, paths, pictures, rest } }
  const { arrived, pieces } = await sent(message)
  const { result } = arrived
  t.deepEqual(result.rest, rest)
  // Compared as bytes and text: a comparison entry by entry takes a minute.
  t.true(Buffer.from(result.features.buffer).equals(Buffer.from(features.buffer)))
  t.is(result.paths.join(), paths.join())
  t.deepEqual(
    result.pictures.map(({ bytes }) => Buffer.from(bytes).toString('hex')),
    pictures.map(({ bytes }) => Buffer.from(bytes).toString('hex')),
  )
  const parts = pieces.map(({ part }) => (ArrayBuffer.isView(part) ? part.byteLength : 0))
  t.true(parts.length >= 5 && Math.max(...parts) <= 4 * 1024 * 1024, parts.join())
})

test('small messages go as they are', async (t) => {
  const message = { type: 'event', list: [1, 'a', { b: null }], numbers: new Uint8Array(9) }
  const { arrived, pieces } = await sent(message)
  t.deepEqual(arrived, message)
  t.is(pieces.length, 0)
})

test('data of every kind arrives as the same data set', async (t) => {
  const folder = await temporaryFolder(t)
  const paths = await writePictures(join(folder, 'pictures'), 6)
  await writeFile(join(folder, 'test_batch.bin'), Buffer.alloc(3 * 3073, 5))
  const inputs: DataInput[] = [
    join(folder, 'pictures'),
    new ImageFolder(join(folder, 'pictures')),
    new CIFAR10(folder, { split: 'test' }),
    await openDataset(samples(3)),
    samples(4),
    paths,
  ]
  const told = async (data: DataInput): Promise<unknown> => {
    const { path, ...fields } = await openDataset(data)
    const { kind, root = null } = data as { kind?: string; root?: string | null }
    return { fields, kind, root, paths: Array.from({ length: fields.length }, (_, i) => path(i)) }
  }
  for (const input of inputs) {
    const record = await recordOfData(input)
    const arrived = dataOf(deserialize(serialize(record))) as Dataset
    t.deepEqual(await told(arrived), await told(input))
  }
  t.is(dataOf(await recordOfData(0.25)), 0.25)
})

test('errors arrive with class, fields, causes and stack', async (t) => {
  const system = await t.throwsAsync(readFile('/does/not/exist'))
  const issues = [{ field: 'lr', value: '-1', expected: 'more', hint: 'positive' }]
  const inner = new NnclrError('DECODE', 'a.png', 'cannot decode a.png', { cause: system })
  const error = new NnclrError('CONFIG', 'lr', 'lr: wrong', { issues, cause: inner })
  const arrived = errorOf(structuredClone(recordOf(error))) as NnclrError
  t.true(arrived instanceof NnclrError && arrived.cause instanceof NnclrError)
  t.like(arrived, {
    code: 'CONFIG',
    subject: 'lr',
    message: 'lr: wrong',
    issues,
    name: 'NnclrError',
  })
  t.is(arrived.stack, error.stack)
  const cause = arrived.cause as NnclrError
  t.like(cause.cause, { code: 'ENOENT', syscall: 'open', path: '/does/not/exist' })
  t.is(recordOf(new DOMException('stop', 'AbortError')).isAbort, true)
  t.is(errorOf(structuredClone(recordOf(new TypeError('x')))).name, 'TypeError')
  t.is((errorOf(recordOf('a text')) as NnclrError).code, 'PANIC')
  t.is(errorOf(recordOf(new Error('a', { cause: { b: 1 } }))).cause, '[object Object]')
})

test('an ended process is told in words', (t) => {
  const base = {
    title: 'child process',
    pid: 7,
    step: 0,
    used: null,
    limit: null,
    checkpoint: null,
    output: '',
  }
  const words = (exit: Parameters<typeof processError>[0]['exit']): string =>
    processError({ ...base, exit }).message
  t.is(words({ code: 3, signal: null }), 'the child process ended with exit code 3')
  t.is(
    words({ code: 0xc0000005, signal: null }),
    'the child process ended with exit code 0xc0000005',
  )
  t.is(
    words({ code: null, signal: 'SIGSEGV' }),
    'the child process was ended by SIGSEGV (it crashed)',
  )
  t.is(words({ code: null, signal: 'SIGHUP' }), 'the child process was ended by SIGHUP')
  const failure = new Error('spawn EAGAIN')
  const error = processError({ ...base, pid: null, exit: { code: null, signal: null, failure } })
  t.like(error, { message: 'the child process could not begin: spawn EAGAIN', cause: failure })
})

test("a child gets the flags of this process's Node that fit another program", (t) => {
  const kept = [
    '--import=tsx',
    '-r',
    './hook.cjs',
    '--max-old-space-size=512',
    '--conditions',
    'dev',
  ]
  const left = ['--input-type=module', '--eval', 'code', '-p', '1', '-i', '--inspect-brk=9229']
  const more = [
    '--inspect-port',
    '9230',
    '--watch',
    '--watch-path',
    'src',
    '--test',
    '--input-type',
    'module',
    '--test-timeout',
    '5000',
    '--test-name-pattern',
    'a name',
    '--inspect-brk',
  ]
  t.deepEqual(fittingFlags([...left, ...kept, ...more]), kept)
  t.deepEqual(fittingFlags([...more, ...kept]), kept)
})

test("the child's program is found beside its parent's, outside Electron's archive", async (t) => {
  t.regex(childEntry(), /ts\/isolate\/child\.ts$/)
  const folder = await temporaryFolder(t)
  const inside = join(folder, 'app.asar', 'nnclr', 'child.js')
  t.is(unpacked(inside), inside)
  await touch(folder, 'app.asar.unpacked/nnclr/child.js')
  t.is(unpacked(inside), join(folder, 'app.asar.unpacked', 'nnclr', 'child.js'))
  const error = t.throws(() => childEntry('file:///app/bundle/main.js')) as NnclrError
  t.is(error.code, 'IO')
  t.regex(error.message, /bundled/)
})
