/** The page in an ordinary browser: its own files, and a recording in place of the app. */

import { readFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fileWithin, PICTURE_ORIGIN } from '../src/folder-walls.js'
import type { Recording } from './record.js'

const RENDERER = fileURLToPath(new URL('../renderer', import.meta.url))
const PLAYER = fileURLToPath(new URL('player.js', import.meta.url))
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
}

/** A picture that comes when the player is done: until then the page has not finished loading. */
const HOLD = '/hold.png'
/** The picture that the player asks for when it is done. */
const DONE = '/done.png'

/**
 * Serves the page. `compiled` holds what its TypeScript became; pictures come from `folder`. The
 * page's own policy stays in force: the recording comes as a script of the same origin.
 */
export async function servePage(
  recording: Recording,
  compiled: string,
  folder: string,
): Promise<{ url: string; server: Server }> {
  const texts: Readonly<Record<string, () => Promise<string>>> = {
    '/': async () => {
      const page = await readFile(join(RENDERER, 'index.html'), 'utf8')
      const scripts = '<script src="recording.js"></script><script src="player.js"></script>'
      return page
        .replace('<script type="module"', `${scripts}<script type="module"`)
        .replace('</body>', `<img src="${HOLD}" alt="" hidden /></body>`)
    },
    '/style.css': () => readFile(join(RENDERER, 'style.css'), 'utf8'),
    '/player.js': () => readFile(PLAYER, 'utf8'),
    '/recording.js': async () =>
      `window.recording = ${JSON.stringify(recording).replaceAll(PICTURE_ORIGIN, 'picture')}`,
  }
  const bodyOf = async (name: string): Promise<string | Buffer | null> => {
    const text = texts[name]
    if (text !== undefined) return text()
    const file = name.startsWith('/picture/')
      ? await fileWithin(folder, name.slice('/picture/'.length))
      : await fileWithin(compiled, name.slice(1))
    return file === null ? null : readFile(file)
  }
  const held = new Set<ServerResponse>()
  const answer = (response: ServerResponse, name: string, body: string | Buffer | null): void => {
    const type = TYPES[name === '/' ? '.html' : extname(name)] ?? 'application/octet-stream'
    response.writeHead(body === null ? 404 : 200, { 'content-type': type })
    response.end(body ?? '')
  }
  const server = createServer(async (request, response) => {
    const name = decodeURIComponent(new URL(request.url ?? '/', 'http://page').pathname)
    if (name === HOLD) return void held.add(response)
    if (name === DONE) for (const waiting of held) answer(waiting, HOLD, null)
    if (name === DONE) held.clear()
    answer(response, name, await bodyOf(name))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server }
}
