import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { findChromium, look } from '../examples/electron/preview/browser.js'
import { compilePage } from '../examples/electron/preview/compile.js'
import { servePage } from '../examples/electron/preview/page.js'
import { nodeDesktop, type Recording } from '../examples/electron/preview/record.js'
import { advance, IDLE } from '../examples/electron/renderer/src/progress.js'
import type { DesktopEvent } from '../examples/electron/src/api.js'
import { Desktop } from '../examples/electron/src/desktop.js'
import { fileWithin, nameWithin, pictureUrl } from '../examples/electron/src/folder-walls.js'
import { Gallery } from '../examples/electron/src/gallery.js'
import type { GalleryAnswer, GalleryProcess } from '../examples/electron/src/messages.js'
import { writePictures } from './fixtures-pictures.js'

const EXAMPLE = fileURLToPath(new URL('../examples/electron', import.meta.url))
const chromium = findChromium()

let folder: string
let recording: Recording

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  await writePictures(join(folder, 'pictures'), 16)
})

test.after.always(() => rm(folder, { recursive: true, force: true }))

test.serial(
  'the app trains, stops, goes on and finds pictures, with its worker under Node',
  async (t) => {
    const events: DesktopEvent[] = []
    let onEvent = (_event: DesktopEvent): void => {}
    const desktop = nodeDesktop(join(folder, 'runs'), (event) => {
      events.push(event)
      onEvent(event)
    })
    await t.throwsAsync(async () => desktop.train({ epochs: 1, resume: false }), {
      message: 'no folder is chosen',
    })
    const pictures = join(folder, 'pictures')
    t.deepEqual(desktop.choose(pictures), { folder: pictures, canResume: false })
    await t.throwsAsync(desktop.train({ epochs: 0, resume: false }), { message: /epochs: got 0/ })

    onEvent = ({ type }) => void (type === 'epoch' && desktop.stop())
    const stopped = await desktop.train({ epochs: 1000, resume: false })
    t.true(stopped?.stopped)
    t.true(desktop.choose(pictures).canResume)
    onEvent = () => {}
    const epochs = (stopped?.epochs ?? 0) + 2
    const result = await desktop.train({ epochs, resume: true })
    t.like(result, { stopped: false, epochs })
    const starts = events.filter((event) => event.type === 'start')
    t.is(starts[1]?.resumedAt, stopped?.steps)
    t.notThrows(() => structuredClone(events), 'a page can be sent every event')

    const gallery = await desktop.openGallery()
    t.is(gallery.length, 16)
    t.is(gallery[0]?.name, 'blue/0000.png')
    t.is(gallery[0]?.url, 'app://picture/blue/0000.png')
    const found = await desktop.neighbours('blue/0004.png')
    t.is(found.length, 12)
    t.false(
      found.some(({ name }) => name === 'blue/0004.png'),
      'not the picture itself',
    )
    const similarities = found.map(({ similarity }) => similarity)
    t.deepEqual(
      [...similarities].sort((a, b) => b - a),
      similarities,
    )
    await t.throwsAsync(desktop.neighbours('../runs'), { message: /is not in the folder/ })
    await desktop.close()
    const neighbours = { 'blue/0000.png': found }
    recording = {
      folder: 'photos',
      events: events.slice(events.indexOf(starts[1] as never)),
      gallery,
      neighbours,
    }
  },
)

test.serial('a training that cannot begin is told as an event', async (t) => {
  const events: DesktopEvent[] = []
  const desktop = nodeDesktop(join(folder, 'other'), (event) => events.push(event))
  await mkdir(join(folder, 'empty'))
  desktop.choose(join(folder, 'empty'))
  t.is(await desktop.train({ epochs: 1, resume: false }), null)
  t.like(events, { 0: { type: 'failed', code: 'IO' } })
  t.regex(advance(IDLE, events[0] as DesktopEvent).sentence, /^IO: no pictures in/)
  await desktop.close()
})

test('calls of a worker that dies fail, and the next call has a new one', async (t) => {
  let made = 0
  const exits: ((code: number) => void)[] = []
  const start = (): GalleryProcess => {
    made += 1
    let answer = (_answer: GalleryAnswer): void => {}
    return {
      post: ({ id }) => {
        if (made === 2) answer({ id, error: { code: 'IO', message: 'gone' } })
        if (made === 3) answer({ id, pictures: [] })
      },
      onAnswer: (callback) => {
        answer = callback
      },
      onExit: (callback) => void exits.push(callback),
      end: () => {},
    }
  }
  const gallery = new Gallery(start)
  const [first, second] = [gallery.neighbours('a'), gallery.neighbours('b')]
  exits[0]?.(137)
  await t.throwsAsync(first, { message: /ended with code 137/ })
  await t.throwsAsync(second, { message: /ended with code 137/ })
  await t.throwsAsync(gallery.neighbours('c'), { message: 'IO: gone' })
  exits[1]?.(0)
  t.deepEqual([...(await gallery.neighbours('d'))], [])
  t.is(made, 3)
})

test('pictures that are closed fail their calls, and not those of the next process', async (t) => {
  const exits: ((code: number) => void)[] = []
  const ended: number[] = []
  const answers: ((answer: GalleryAnswer) => void)[] = []
  const gallery = new Gallery(() => ({
    post: () => {},
    onAnswer: (callback) => void answers.push(callback),
    onExit: (callback) => void exits.push(callback),
    end: () => void ended.push(exits.length),
  }))
  const desktop = new Desktop(join(folder, 'none'), gallery, () => {})
  desktop.choose(join(folder, 'pictures'))
  const first = desktop.openGallery()
  desktop.choose(join(folder, 'pictures'))
  await t.throwsAsync(first, { message: 'the pictures were closed' })
  t.deepEqual(ended, [1], 'another choice ends the process')
  const second = desktop.openGallery()
  exits[0]?.(0)
  answers[1]?.({ id: 2, pictures: [] })
  t.deepEqual(await second, [])
})

test('a page sees files of the chosen folder alone', async (t) => {
  const pictures = join(folder, 'pictures')
  t.is(await fileWithin(pictures, 'red/0001.png'), join(pictures, 'red/0001.png'))
  for (const name of ['../runs', '/etc/passwd', '..', '', 'red/../../x', 'a\0b', 'none.png']) {
    t.is(await fileWithin(pictures, name), null, name)
  }
  t.is(nameWithin(pictures, join(pictures, 'red/a b.png')), 'red/a b.png')
  t.is(pictureUrl('red/a b#1.png'), 'app://picture/red/a%20b%231.png')
})

test.serial('what is shown follows the events of a real training', (t) => {
  const shown = recording.events.reduce(advance, IDLE)
  t.is(shown.state, 'done')
  t.is(shown.share, 1)
  t.is(shown.epochs.length, 2)
  t.true(shown.steps.every(([step, loss]) => step > 0 && loss > 0))
  t.regex(shown.sentence, /^done: \d+ epochs, loss \d/)
  const begun = advance(IDLE, recording.events[0] as DesktopEvent)
  t.regex(begun.sentence, /^training on 16 pictures on cpu, going on at step \d+$/)
  t.true(begun.share > 0 && begun.share < 1)
})

const inBrowser = chromium === null ? test.serial.skip : test.serial

inBrowser(
  'the page shows the recorded training and the pictures, in a real browser under its own policy',
  async (t) => {
    const compiled = await compilePage(join(folder, 'page'))
    const profiles = join(folder, 'profiles')
    await mkdir(profiles)
    const before = process.env['TMPDIR']
    process.env['TMPDIR'] = profiles
    t.teardown(() => {
      if (before === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = before
    })
    const { url, server } = await servePage(recording, compiled, join(folder, 'pictures'))
    try {
      const page = await look(chromium ?? '', url)
      t.regex(page, /<p id="state" role="status" class="done">done: \d+ epochs, loss \d/)
      t.regex(page, /<svg id="chart"[^>]*aria-label="loss by step, from \d[^"]* to \d/)
      t.regex(page, /<path d="M[^"]*L[^"]*" class="line">/)
      t.is(page.match(/<img [^>]*src="picture\//g)?.length, 16 + 12)
      t.is(page.match(/aria-pressed="true"/g)?.length, 1)
      t.regex(page, /<button id="stop" type="button" disabled="">/)
      t.notRegex(page, /class="failed"/)

      const refused = await look(chromium ?? '', `${url}?until=refused`)
      t.regex(refused, /<p id="state" role="status" class="failed">refused</)
      t.regex(refused, /<button id="stop" type="button" disabled="">/)
      t.regex(refused, /<button id="train" type="button">/, 'it can be tried again')
      const asked = await look(chromium ?? '', `${url}?until=asked`)
      t.regex(asked, /<p id="hint" class="failed">nothing is recorded of this one</)
      t.is(asked.match(/<img [^>]*src="picture\//g)?.length, 16, 'no neighbours of another one')
      const changed = await look(chromium ?? '', `${url}?until=changed`)
      t.notRegex(changed, /src="picture\//)
      t.regex(changed, /<p id="hint" class="quiet">Train first/)
      t.regex(changed, /<h3 id="asked" hidden="">/)
      t.deepEqual(await readdir(profiles), [], 'profiles are removed')
    } finally {
      server.close()
      server.closeAllConnections()
    }
  },
)

test('page, bridge and app name the same calls, and packing leaves nothing native in the archive', async (t) => {
  const read = (name: string) => readFile(join(EXAMPLE, name), 'utf8')
  const asked = [...(await read('src/preload.cts')).matchAll(/invoke\('(\w+)'/g)].map(
    ([, name]) => name,
  )
  const answered = [...(await read('src/main.ts')).matchAll(/^answer\('(\w+)'/gm)].map(
    ([, name]) => name,
  )
  t.deepEqual(asked.sort(), answered.sort())
  t.is(asked.length, 5)
  const main = await read('src/main.ts')
  t.notRegex(main, /^await /m, 'Electron waits for the module, which must not wait for Electron')
  for (const line of ['contextIsolation: true', 'sandbox: true', 'nodeIntegration: false']) {
    t.true(main.includes(line), line)
  }
  t.regex(await read('renderer/index.html'), /default-src 'none'; script-src 'self'/)
  const builder = await read('electron-builder.yml')
  for (const name of ['nnclr', '@nnclr']) t.true(builder.includes(`'**/node_modules/${name}/**/*'`))
  t.false((await readdir(join(EXAMPLE, 'src'))).some((name) => name.endsWith('.js')))
})
