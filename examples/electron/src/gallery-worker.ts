/**
 * The program of the process that embeds and searches pictures. It holds the network and the rows,
 * so that the app's own process never loads libtorch. Runs as Electron's utility process and, for
 * tests and the preview, as Node's child process.
 */

import { type Embedder, NnclrError, openEmbedder, type PictureIndex } from 'nnclr'
import type { GalleryAnswer, GalleryPicture, GalleryRequest } from './messages.js'

/** What Electron gives a utility process; Node has no such thing. */
interface ParentPort {
  on(event: 'message', listener: (event: { data: unknown }) => void): void
  postMessage(message: unknown): void
}

/** Pictures shown before one is chosen. */
const SHOWN_FIRST = 24

let embedder: Embedder | null = null
let index: PictureIndex | null = null

async function open(checkpoint: string, folder: string): Promise<GalleryPicture[]> {
  index?.close()
  await embedder?.close()
  embedder = await openEmbedder(checkpoint)
  index = await embedder.index(folder)
  // Evenly over the folder, so that all classes are seen.
  const every = Math.max(1, Math.ceil(index.count / SHOWN_FIRST))
  const shown = index.paths.filter((_, row) => row % every === 0)
  return shown.map((path) => ({ path, similarity: 1 }))
}

async function neighbours(picture: string, k: number): Promise<GalleryPicture[]> {
  if (embedder === null || index === null) throw new Error('no folder is open')
  const features = await embedder.embedPicture(picture)
  // The picture itself is in the folder and nearest of all.
  const found = await index.search(features, k + 1)
  return found.filter(({ path }) => path !== picture).slice(0, k)
}

async function answer(request: GalleryRequest): Promise<GalleryAnswer> {
  const { id } = request
  try {
    const pictures =
      request.type === 'open'
        ? await open(request.checkpoint, request.folder)
        : await neighbours(request.picture, request.k)
    return { id, pictures: pictures.map(({ path, similarity }) => ({ path, similarity })) }
  } catch (error) {
    const code = error instanceof NnclrError ? error.code : 'ERROR'
    return { id, error: { code, message: error instanceof Error ? error.message : String(error) } }
  }
}

const { parentPort } = process as NodeJS.Process & { readonly parentPort?: ParentPort }
/** One request after the other: `open` replaces what `neighbours` searches. */
let last: Promise<unknown> = Promise.resolve()

function handle(request: GalleryRequest, send: (answer: GalleryAnswer) => unknown): void {
  last = last.then(async () => send(await answer(request)))
}

if (parentPort !== undefined) {
  parentPort.on('message', ({ data }) =>
    handle(data as GalleryRequest, (message) => parentPort.postMessage(message)),
  )
} else {
  process.on('message', (request: GalleryRequest) =>
    handle(request, (message) => process.send?.(message)),
  )
  // The app is gone.
  process.on('disconnect', () => process.exit(0))
}
