import test from 'ava'
import { textReporter } from '../ts/cli/progress.js'
import { count, duration, percent, rate } from '../ts/cli/words.js'
import { RESULT, recordedEvents } from './cli-events.js'
import { fakeTerminal } from './cli-terminal.js'

test('elsewhere than on a terminal there is a line an epoch', (t) => {
  const terminal = fakeTerminal()
  const reporter = textReporter(terminal)
  for (const event of recordedEvents()) reporter.event(event)
  t.deepEqual(terminal.stdout.trimEnd().split('\n'), [
    'training resnet10 on 3,822 pictures of 32 px: 2 epochs, 4 steps, on cpu in fp32',
    'epoch 1/2 · loss 3.500 · 812 images/s · 37 s · data wait 2 % · neighbours: similarity 0.83, unique 71 %, same class 34 %',
    'epoch 2/2 · loss 2.500 · 812 images/s · 37 s · data wait 2 % · neighbours: similarity 0.83, unique 71 %, same class 34 %',
    '  kNN top-1 35.4 % (822 pictures against 3,000, k 200)',
    'done after 1 min 15 s: 2 epochs, 4 steps, loss 2.500, kNN top-1 35.4 %',
    `  checkpoint: ${RESULT.checkpoint}`,
    `  backbone:   ${RESULT.exported}`,
  ])
  t.is(terminal.stderr, 'warning: photos/a.png was skipped: truncated\n')
})

test('and one about every ten seconds', (t) => {
  const terminal = fakeTerminal()
  const reporter = textReporter(terminal)
  const step = recordedEvents().find(({ type }) => type === 'step')
  if (step === undefined) return t.fail()
  for (let second = 0; second < 60; second++) {
    terminal.time = second * 1000
    reporter.event(step)
  }
  t.is(terminal.stdout.trimEnd().split('\n').length, 5)
  t.regex(terminal.stdout, /^epoch 1 25 % · loss 4.000 · 1 min 23 s left · 812 images\/s/)
})

test('on a terminal one line is rewritten and never wraps', (t) => {
  const terminal = fakeTerminal(true, 50)
  const reporter = textReporter(terminal)
  for (const event of recordedEvents()) {
    terminal.time += 200
    reporter.event(event)
  }
  const drawn = terminal.stdout.split('\n').flatMap((line) => line.split('\r\x1b[K'))
  const progress = drawn.filter((line) => line.includes(' left'))
  t.is(progress.length, 4)
  t.true(progress.every((line) => line.length < 50))
  t.true(terminal.stdout.endsWith(`${RESULT.exported}\n`))
})

test('the progress line is not redrawn faster than anyone can read', (t) => {
  const terminal = fakeTerminal(true)
  const reporter = textReporter(terminal)
  const step = recordedEvents().find(({ type }) => type === 'step')
  if (step === undefined) return t.fail()
  for (let n = 0; n < 1000; n++) {
    terminal.time = n
    reporter.event(step)
  }
  t.is(terminal.stdout.split('\r').length, 10)
})

test('a warning does not spoil the progress line', (t) => {
  const terminal = fakeTerminal(true)
  const reporter = textReporter(terminal)
  for (const event of recordedEvents().slice(0, 4)) reporter.event(event)
  t.true(terminal.stdout.endsWith('\r\x1b[K'))
  t.is(terminal.stderr, 'warning: photos/a.png was skipped: truncated\n')
})

test('a stopped run, unreadable pictures and a loss that is no number are said', (t) => {
  const terminal = fakeTerminal()
  const result = { ...RESULT, stopped: true, badImages: 3, exported: null, loss: Number.NaN }
  textReporter(terminal).event({ type: 'end', result })
  t.regex(terminal.stdout, /^stopped after 1 min 15 s: 2 epochs, 4 steps, loss NaN/)
  t.regex(terminal.stdout, /unreadable pictures: 3, listed in runs\/first\/bad-images.jsonl/)
})

test('numbers in words', (t) => {
  t.deepEqual([0, 59.4, 59.6, 3599, 7800].map(duration), [
    '0 s',
    '59 s',
    '1 min 00 s',
    '59 min 59 s',
    '2 h 10 min',
  ])
  t.is(duration(Number.POSITIVE_INFINITY), '?')
  t.is(percent(0.345), '35 %')
  t.is(percent(Number.NaN), '?')
  t.is(count(1234567), '1,234,567')
  t.deepEqual([8.126, 812.4].map(rate), ['8.1', '812'])
})
