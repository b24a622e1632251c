import test from 'ava'
import fc from 'fast-check'
import { configFields, configRecord, fitToSet, resolveConfig } from '../ts/config.js'
import { type ConfigIssue, NnclrError } from '../ts/errors.js'

const MINIMUM = { data: 'photos/', out: 'runs/first' }

function issuesOf(input: unknown): readonly ConfigIssue[] {
  try {
    resolveConfig(input)
  } catch (error) {
    if (error instanceof NnclrError && error.code === 'CONFIG') return error.issues
    throw error
  }
  return []
}

function hintFor(input: object): string | undefined {
  return issuesOf({ ...MINIMUM, ...input })[0]?.hint
}

test('data and out suffice; the rest is the default preset', (t) => {
  const config = resolveConfig(MINIMUM)
  t.like(config, { ...MINIMUM, preset: 'default', validation: null, resume: false, signal: null })
  t.like(config, { epochs: 20, backbone: 'resnet10', stem: 'small', schedule: 'cosine' })
})

test('explicit fields win over the preset, in groups one by one', (t) => {
  const config = resolveConfig({ ...MINIMUM, preset: 'lightly', memoryBank: { size: 8 }, lr: 1 })
  t.deepEqual(config.memoryBank, { size: 8, warmup: 'random' })
  t.is(config.lr, 1)
})

test('undefined counts as not given', (t) => {
  const config = resolveConfig({ ...MINIMUM, epochs: undefined, transform: { blur: undefined } })
  t.is(config.epochs, 20)
  t.is(config.transform.blur, 0)
})

test('all problems are reported together', (t) => {
  const issues = issuesOf({
    epochs: '10',
    batchsize: 64,
    temperature: Number.NaN,
    transform: { cropScale: [1, 0.2], jiter: 1 },
    evaluation: [],
  })
  t.deepEqual(
    issues.map(({ field }) => field),
    [
      'epochs',
      'batchsize',
      'temperature',
      'transform.cropScale',
      'transform.jiter',
      'evaluation',
      'data',
      'out',
    ],
  )
  const error = t.throws(() => resolveConfig({ epochs: 0 }), { instanceOf: NnclrError })
  t.is(error.message.split('\n').length, 1 + 3)
})

test('the nearest valid key is named, also from other spellings and the wrong place', (t) => {
  t.is(hintFor({ batch_size: 8 }), "did you mean 'batchSize'?")
  t.is(hintFor({ epoch: 8 }), "did you mean 'epochs'?")
  t.is(hintFor({ transform: { jitterStrenght: 1 } }), "did you mean 'transform.jitterStrength'?")
  t.is(hintFor({ cropScale: [0.2, 1] }), "did you mean 'transform.cropScale'?")
  t.is(hintFor({ backbone: 'ResNet-18' }), "did you mean 'resnet18'?")
  t.is(hintFor({ batchSize: 'Auto' }), "did you mean 'auto'?")
  t.is(hintFor({ xyzzy: 1 }), undefined)
  t.is(hintFor({ epochs: '3' }), 'write the number without quotes')
})

test('names from the prototype are unknown fields', (t) => {
  const issues = issuesOf({ ...MINIMUM, ...JSON.parse('{"__proto__x": 1, "toString": 2}') })
  t.is(issues.length, 2)
  t.is(issuesOf(JSON.parse('{"data":"a","out":"b","__proto__":{"epochs":1}}')).length, 1)
  t.is(issuesOf(JSON.parse('{"data":"a","out":"b","transform":{"constructor":1}}')).length, 1)
})

const WRONG: Record<string, unknown[]> = {
  data: ['', 7, null, [], {}],
  out: ['', 7, null, 'a\0b'],
  validation: [0, 0.6, -1, '', true],
  preset: ['fast', null],
  weights: ['', 1],
  resume: ['true', 1, null],
  signal: [{}, true],
  epochs: [0, -1, 1.5, '3', Number.NaN, Number.POSITIVE_INFINITY, null, [3], {}],
  batchSize: [1, 0, 2.5, 'big', null],
  imageSize: [7, 5000, '32'],
  memoryBank: [{ size: 0 }, { size: 'all' }, { warmup: 'fil' }, 4096, null, []],
  neighbourWarmup: [-0.1, 1.1, 'half'],
  neighbourWeight: [-0.1, 1.1, Number.NaN, 'auto', null],
  viewLoss: ['SimCLR', 'p', null],
  temperature: [0, -1, 101],
  optimizer: ['SGD', 'adam', null],
  lr: [0, -1, Number.NaN, 'high'],
  momentum: [1, -0.1],
  device: ['gpu', 'cuda:', 'cuda:x', 'CPU', null],
  threads: [0, 1.5, -1],
  seed: [-1, 0.5, 2 ** 53, 1n],
  subset: [0, 1.1],
  maxBadShare: [-1, 2],
  transform: [{ cropScale: 0.2 }, { cropScale: [0, 1] }, { cropRatio: [1] }, { blurSigma: [2, 1] }],
  evaluation: [
    { every: -1 },
    { k: 0 },
    { temperature: 0 },
    { samples: 0 },
    { imageSize: 7 },
    { imageSize: 'big' },
  ],
  checkpoint: [{ keep: 0 }, { everyEpochs: 0.5 }, true],
  background: [[0, 0], [0, 0, 256], 'white'],
}

for (const [field, values] of Object.entries(WRONG)) {
  test(`wrong values of ${field} are refused by name`, (t) => {
    for (const value of values) {
      const issues = issuesOf({ ...MINIMUM, [field]: value })
      t.is(issues.length, 1, String(value))
      t.true(issues[0]?.field.startsWith(field))
      t.not(issues[0]?.expected, '')
    }
  })
}

test('settings that exclude each other are refused', (t) => {
  const cases: [object, string][] = [
    [{ resume: true, overwrite: true }, 'overwrite'],
    [{ lr: 0.1, baseLr: 0.2 }, 'baseLr'],
    [{ epochs: 5, warmupEpochs: 6 }, 'warmupEpochs'],
    [{ lr: 0.1, lrEnd: 0.2 }, 'lrEnd'],
    [{ lr: 0.1, warmupStart: 0.2 }, 'warmupStart'],
    [{ nesterov: true, momentum: 0 }, 'nesterov'],
    [{ nesterov: true, optimizer: 'adamw' }, 'nesterov'],
    [{ imageSize: 15 }, 'imageSize'],
    [{ imageSize: 31, stem: 'imagenet' }, 'imageSize'],
    [{ imageSize: 32, evaluation: { imageSize: 15 } }, 'evaluation.imageSize'],
    [{ transform: { hue: 0.6, jitterStrength: 1 } }, 'transform.hue'],
  ]
  for (const [input, field] of cases) {
    t.deepEqual(
      issuesOf({ ...MINIMUM, ...input }).map((issue) => issue.field),
      [field],
    )
  }
})

test('warm-up that is not given is at most a tenth of the epochs', (t) => {
  t.is(resolveConfig({ ...MINIMUM, epochs: 2 }).warmupEpochs, 0.2)
  t.is(resolveConfig({ ...MINIMUM, epochs: 100 }).warmupEpochs, 1)
  t.is(resolveConfig({ ...MINIMUM, epochs: 20, preset: 'paper' }).warmupEpochs, 2)
  t.is(resolveConfig({ ...MINIMUM, epochs: 2, warmupEpochs: 2 }).warmupEpochs, 2)
})

test('no input makes it throw anything but CONFIG', (t) => {
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true }), (x) => {
      issuesOf(x)
      issuesOf({ ...MINIMUM, transform: x })
      issuesOf({ ...MINIMUM, lr: x, data: x })
    }),
  )
  t.pass()
})

test('the record is JSON without the signal, and resolves again to itself', (t) => {
  const config = resolveConfig({ ...MINIMUM, signal: new AbortController().signal })
  const record = configRecord(config)
  t.deepEqual(resolveConfig(record), { ...config, signal: null })
  t.deepEqual(JSON.parse(JSON.stringify(record)), record)
  t.false('signal' in record)
  const list = configRecord(resolveConfig({ ...MINIMUM, data: ['a.png', 'b.png'] }))
  t.deepEqual(list['data'], { kind: 'array', length: 2 })
})

test('fields are listed with what they take', (t) => {
  const fields = configFields()
  t.true(fields.some(({ field }) => field === 'transform.cropScale'))
  t.true(fields.every(({ expected }) => expected !== ''))
})

test("'auto' is settled by the size of the set", (t) => {
  const config = resolveConfig(MINIMUM)
  t.like(fitToSet(config, 50_000), { batchSize: 256, lr: 0.04, memoryBank: { size: 16_384 } })
  t.like(fitToSet(config, 128), { batchSize: 128, lr: 0.02, memoryBank: { size: 64 } })
  const explicit = resolveConfig({ ...MINIMUM, lr: 1, memoryBank: { size: 7 }, batchSize: 4 })
  t.like(fitToSet(explicit, 128), { batchSize: 4, lr: 1, memoryBank: { size: 7 } })
  t.is(fitToSet(config, 128).evaluation.imageSize, 32)
  const larger = resolveConfig({ ...MINIMUM, evaluation: { imageSize: 40 } })
  t.is(fitToSet(larger, 128).evaluation.imageSize, 40)
})

test('too few pictures are refused with the remedy', (t) => {
  const message = (input: object, pictures: number): string | undefined =>
    t.throws(() => fitToSet(resolveConfig({ ...MINIMUM, ...input }), pictures))?.message
  t.regex(message({}, 1) ?? '', /data: got 1 pictures/)
  t.regex(message({ batchSize: 64 }, 63) ?? '', /batchSize: got 64, expected at most .* 63/)
  t.regex(message({ batchSize: 64, dropLast: false }, 65) ?? '', /dropLast/)
  t.notThrows(() => fitToSet(resolveConfig({ ...MINIMUM, batchSize: 64, dropLast: false }), 63))
})
