import { readFile } from 'node:fs/promises'
import test from 'ava'
import { NnclrError } from '../ts/errors.js'

test('an error of ours stays itself', (t) => {
  const error = new NnclrError('IO', 'a.png', 'cannot read a.png')
  t.is(NnclrError.from(error), error)
})

test('a native error is read from its JSON', (t) => {
  const native = new Error('{"code":"SHAPE","subject":"bank","message":"bank: got 3, expected 4"}')
  const error = NnclrError.from(native) as NnclrError
  t.true(error instanceof NnclrError)
  t.is(error.code, 'SHAPE')
  t.is(error.subject, 'bank')
  t.is(error.message, 'bank: got 3, expected 4')
  t.is(error.cause, native)
})

test('a native error of an unknown code or broken JSON is a PANIC that keeps its words', (t) => {
  for (const message of ['{"code":"NOPE","message":"x"}', '{"code":', '{}']) {
    const error = NnclrError.from(new Error(message)) as NnclrError
    t.is(error.code, 'PANIC')
    t.true(error.message.includes(message))
  }
})

test('a system error becomes IO with its path and plain words', async (t) => {
  const thrown = await t.throwsAsync(readFile('/does/not/exist'))
  const error = NnclrError.from(thrown) as NnclrError
  t.is(error.code, 'IO')
  t.is(error.subject, '/does/not/exist')
  t.is(error.message, 'cannot open /does/not/exist: no such file or folder (ENOENT)')
  t.is(error.cause, thrown)
})

test('an abort passes through', (t) => {
  const { signal } = { signal: AbortSignal.abort() }
  t.is(NnclrError.from(signal.reason), signal.reason as Error)
})

test('anything else is a PANIC with its cause', (t) => {
  const bug = new TypeError('x is undefined')
  const error = NnclrError.from(bug, 'step') as NnclrError
  t.is(error.code, 'PANIC')
  t.is(error.subject, 'step')
  t.is(error.cause, bug)
  for (const thrown of [undefined, null, 'text', 7, { a: 1 }]) {
    t.is((NnclrError.from(thrown) as NnclrError).code, 'PANIC')
  }
})

test('configuration issues stand one on a line', (t) => {
  const error = NnclrError.config([
    { field: 'epochs', value: '0', expected: 'a whole number from 1' },
    { field: 'lr', value: '-1', expected: 'a number above 0', hint: 'positive' },
  ])
  t.is(
    error.message,
    'the configuration has 2 problems:\n' +
      '  epochs: got 0, expected a whole number from 1\n' +
      '  lr: got -1, expected a number above 0 (positive)',
  )
  t.is(error.issues.length, 2)
  t.is(error.subject, 'epochs, lr')
})
