/** The app under Electron: one window with a sandboxed page, and the messages it may send. */

import { readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import {
  app,
  BrowserWindow,
  dialog,
  type IpcMainInvokeEvent,
  ipcMain,
  net,
  protocol,
  session,
} from 'electron'
import type { DesktopApi, DesktopEvent } from './api.js'
import { Desktop } from './desktop.js'
import { startElectronProcess } from './electron-process.js'
import { fileWithin } from './folder-walls.js'
import { Gallery } from './gallery.js'

const HERE = fileURLToPath(new URL('.', import.meta.url))
/** The page and its style as they are, and what its TypeScript became. */
const PAGE_FOLDERS = [join(HERE, '..', 'renderer'), join(HERE, 'renderer')] as const
const PAGE = 'app://page/'
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
}
const NOT_FOUND = (): Response => new Response('not found', { status: 404 })

// `file://` pages may read every file of the user; pages of an own scheme have an origin.
protocol.registerSchemesAsPrivileged([
  { scheme: 'app', privileges: { standard: true, secure: true } },
])

const gallery = new Gallery(() => startElectronProcess(join(HERE, 'gallery-worker.js')))
const tell = (event: DesktopEvent): void => {
  for (const window of BrowserWindow.getAllWindows()) window.webContents.send('event', event)
}
const desktop = new Desktop(join(app.getPath('userData'), 'runs'), gallery, tell)

/** The page's files at app://page/, pictures of the chosen folder at app://picture/. */
async function serve({ url }: Request): Promise<Response> {
  const { hostname, pathname } = new URL(url)
  const name = decodeURIComponent(pathname).slice(1)
  if (hostname === 'picture') {
    const file = await desktop.pictureFile(name)
    return file === null ? NOT_FOUND() : net.fetch(pathToFileURL(file).href)
  }
  const type = TYPES[extname(name)]
  if (hostname !== 'page' || type === undefined) return NOT_FOUND()
  for (const folder of PAGE_FOLDERS) {
    const file = await fileWithin(folder, name)
    if (file !== null) {
      return new Response(await readFile(file), { headers: { 'content-type': type } })
    }
  }
  return NOT_FOUND()
}

/** Answers a message of our own page, and of no other. */
function answer<K extends Exclude<keyof DesktopApi, 'onEvent'>>(
  channel: K,
  work: (...args: Parameters<DesktopApi[K]>) => ReturnType<DesktopApi[K]>,
): void {
  ipcMain.handle(channel, (event: IpcMainInvokeEvent, ...args: unknown[]) => {
    if (event.senderFrame?.url.startsWith(PAGE) !== true) throw new Error('not our page')
    return work(...(args as Parameters<DesktopApi[K]>))
  })
}

answer('chooseFolder', async () => {
  const { filePaths } = await dialog.showOpenDialog({ properties: ['openDirectory'] })
  return filePaths[0] === undefined ? null : desktop.choose(filePaths[0])
})
answer('train', (settings) => desktop.train(settings))
answer('stop', () => desktop.stop())
answer('openGallery', () => desktop.openGallery())
answer('neighbours', (name) => desktop.neighbours(String(name)))

async function openWindow(): Promise<void> {
  const window = new BrowserWindow({
    width: 1100,
    height: 800,
    webPreferences: {
      preload: join(HERE, 'preload.cjs'),
      contextIsolation: true,
      sandbox: true,
      nodeIntegration: false,
    },
  })
  // The page never leads anywhere else.
  window.webContents.setWindowOpenHandler(() => ({ action: 'deny' }))
  window.webContents.on('will-navigate', (event) => event.preventDefault())
  await window.loadURL(`${PAGE}index.html`)
}

app.on('window-all-closed', () => app.quit())

let isClosed = false
app.on('before-quit', (event) => {
  if (isClosed) return
  // A training leaves its checkpoint first.
  event.preventDefault()
  isClosed = true
  void desktop.close().finally(() => app.quit())
})

async function begin(): Promise<void> {
  protocol.handle('app', serve)
  session.defaultSession.setPermissionRequestHandler((_contents, _permission, decide) =>
    decide(false),
  )
  await openWindow()
}

// Not `await` at the top level: Electron is ready only after this module has been evaluated, and each
// would wait for the other for ever (electron/electron#40719).
void app
  .whenReady()
  .then(begin)
  .catch((error: unknown) => {
    dialog.showErrorBox(
      'nnclr cannot begin',
      error instanceof Error ? error.message : String(error),
    )
    app.quit()
  })
