/** A recording for the page: a real training and a real search, through the app's own code. */

import { fileURLToPath } from 'node:url'
import type { DesktopEvent, FoundPicture } from '../src/api.js'
import { Desktop } from '../src/desktop.js'
import { Gallery } from '../src/gallery.js'
import { startNodeProcess } from '../src/node-process.js'

/** What the page is shown. */
export interface Recording {
  /** The folder as the page names it. */
  readonly folder: string
  readonly events: readonly DesktopEvent[]
  readonly gallery: readonly FoundPicture[]
  /** Of some of the gallery's pictures. */
  readonly neighbours: Readonly<Record<string, readonly FoundPicture[]>>
}

const WORKER = fileURLToPath(new URL('../src/gallery-worker.ts', import.meta.url))
/** Pictures whose neighbours are recorded. */
const ASKED = 3

/** The app under plain Node: the same worker, the same messages. */
export function nodeDesktop(runs: string, tell: (event: DesktopEvent) => void): Desktop {
  return new Desktop(runs, new Gallery(() => startNodeProcess(WORKER)), tell)
}

/** Trains on `folder`, embeds it, and asks for neighbours. */
export async function record(folder: string, runs: string, epochs: number): Promise<Recording> {
  const events: DesktopEvent[] = []
  const desktop = nodeDesktop(runs, (event) => events.push(event))
  try {
    desktop.choose(folder)
    if ((await desktop.train({ epochs, resume: false })) === null) {
      throw new Error(`the training failed: ${JSON.stringify(events.at(-1))}`)
    }
    const gallery = await desktop.openGallery()
    const neighbours: Record<string, readonly FoundPicture[]> = {}
    for (const { name } of gallery.slice(0, ASKED))
      neighbours[name] = await desktop.neighbours(name)
    return { folder, events, gallery, neighbours }
  } finally {
    await desktop.close()
  }
}
