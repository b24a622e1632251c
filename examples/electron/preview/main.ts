/**
 * `npm run preview -- FOLDER [EPOCHS]`: trains on the folder and leaves pictures of the page in
 * `runs/` of the working directory.
 */

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { findChromium, look } from './browser.js'
import { compilePage } from './compile.js'
import { servePage } from './page.js'
import { record } from './record.js'

const [folder, epochs = '5'] = process.argv.slice(2)
const chromium = findChromium()
if (folder === undefined || chromium === null) {
  console.error(
    folder === undefined ? 'usage: npm run preview -- FOLDER [EPOCHS]' : 'Chromium is missing',
  )
  process.exit(2)
}
await mkdir('runs', { recursive: true })
const work = await mkdtemp(join(tmpdir(), 'nnclr-preview-'))
try {
  const [recording, compiled] = await Promise.all([
    record(resolve(folder), join(work, 'runs'), Number(epochs)),
    compilePage(join(work, 'page')),
  ])
  const { url, server } = await servePage(recording, compiled, resolve(folder))
  try {
    for (const until of ['training', 'gallery']) {
      const picture = resolve('runs', `preview-${until}.png`)
      await look(chromium, `${url}?until=${until}`, picture)
      console.log(picture)
    }
  } finally {
    server.close()
    server.closeAllConnections()
  }
} finally {
  await rm(work, { recursive: true, force: true })
}
