import { execFileSync, spawnSync } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { npyHeader } from '../ts/cli/feature-file.js'
import { nnclr } from './cli-terminal.js'
import { temporaryFolder } from './temporary-folder.js'

const EMBEDDED = {
  features: Float32Array.of(0.1, -2, 3e-8, 1 / 3, 0, 1e20),
  dim: 3,
  count: 2,
  paths: ['photos/a.png', 'photos/with "quotes", commas.png'],
  labels: Int32Array.of(1, 0),
  classes: ['cat', 'dog'],
  bad: [{ index: 2, path: 'photos/c.png', code: 'DECODE', reason: 'truncated' }],
}

const embed = async () => EMBEDDED

test('.npy: a header of a multiple of 64 bytes, then the floats; paths beside it', async (t) => {
  const folder = await temporaryFolder(t)
  const out = join(folder, 'features.npy')
  const { code, stdout, stderr } = await nnclr(
    ['embed', 'photos/', '-c', 'runs/first', '-o', out],
    { embed },
  )
  t.is(code, 0)
  t.is(stdout, `2 rows of 3 features: ${out}, ${join(folder, 'features.paths.txt')}\n`)
  t.is(stderr, 'warning: photos/c.png left out: truncated\n')
  const bytes = await readFile(out)
  const header = bytes.length - EMBEDDED.features.byteLength
  t.is(header % 64, 0)
  t.is(bytes.toString('latin1', 0, 8), '\x93NUMPY\x01\x00')
  t.is(bytes.readUInt16LE(8), header - 10)
  t.regex(
    bytes.toString('latin1', 10, header),
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/,
  )
  t.deepEqual(new Float32Array(new Uint8Array(bytes.subarray(header)).buffer), EMBEDDED.features)
  t.is(
    await readFile(join(folder, 'features.paths.txt'), 'utf8'),
    EMBEDDED.paths.map((path) => `${path}\n`).join(''),
  )
  t.deepEqual((await readdir(folder)).sort(), ['features.npy', 'features.paths.txt'])
})

test('numpy reads it', async (t) => {
  if (spawnSync('python3', ['-c', 'import numpy']).status !== 0) {
    t.log('skipped: no numpy here')
    t.pass()
    return
  }
  const out = join(await temporaryFolder(t), 'features.npy')
  await nnclr(['embed', 'photos/', '-c', 'runs/first', '-o', out], { embed })
  const script = `import numpy, sys; a = numpy.load(sys.argv[1]); print(a.shape, a.dtype, float(a[1, 2]))`
  const said = execFileSync('python3', ['-c', script, out], { encoding: 'utf8' })
  t.is(said.trim(), '(2, 3) float32 1.0000000200408773e+20')
})

test('the header stays a multiple of 64 for any size', (t) => {
  for (const rows of [0, 9, 99_999, 123_456_789]) {
    const header = npyHeader(rows, 512)
    t.is(header.length % 64, 0)
    t.is(header.at(-1), 0x0a)
  }
})

test('.jsonl: the floats come back as they were', async (t) => {
  const out = join(await temporaryFolder(t), 'features.jsonl')
  t.is((await nnclr(['embed', 'photos/', '-c', 'runs/first', '-o', out], { embed })).code, 0)
  const rows = (await readFile(out, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.like(rows, [
    { path: EMBEDDED.paths[0], label: 'dog' },
    { path: EMBEDDED.paths[1], label: 'cat' },
  ])
  t.deepEqual(Float32Array.from(rows.flatMap(({ features }) => features)), EMBEDDED.features)
})

test('.csv: a heading, fields quoted where needed', async (t) => {
  const out = join(await temporaryFolder(t), 'features.CSV')
  t.is((await nnclr(['embed', 'photos/', '-c', 'runs/first', '-o', out], { embed })).code, 0)
  t.deepEqual((await readFile(out, 'utf8')).split('\n'), [
    'path,label,f0,f1,f2',
    'photos/a.png,dog,0.100000001,-2,2.99999989e-8',
    '"photos/with ""quotes"", commas.png",cat,0.333333343,0,100000002000000000000',
    '',
  ])
})

test('a folder that does not exist is an IO error and leaves nothing', async (t) => {
  const folder = await temporaryFolder(t)
  const out = join(folder, 'missing', 'features.npy')
  const { code, stderr } = await nnclr(['embed', 'photos/', '-c', 'runs/first', '-o', out], {
    embed,
  })
  t.is(code, 1)
  t.regex(stderr, /error IO: cannot write .*features.npy: no such file or folder/)
  t.deepEqual(await readdir(folder), [])
})
