/** The app behind its windows: folder, training, gallery. Knows nothing of Electron. */

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { TrainResult } from 'nnclr'
import type { ChosenFolder, DesktopEvent, FoundPicture, TrainingSettings } from './api.js'
import { fileWithin, nameWithin, pictureUrl } from './folder-walls.js'
import type { Gallery } from './gallery.js'
import type { GalleryPicture } from './messages.js'
import { canResume, Training } from './training.js'

/** State and deeds of the app. */
export class Desktop {
  readonly #runs: string
  readonly #gallery: Gallery
  readonly #tell: (event: DesktopEvent) => void
  readonly #training: Training = new Training()
  #folder: string | null = null

  /** `runs`: where run directories go; `tell` gets the events of trainings. */
  constructor(runs: string, gallery: Gallery, tell: (event: DesktopEvent) => void) {
    this.#runs = runs
    this.#gallery = gallery
    this.#tell = tell
  }

  /** Takes a folder that the user chose; pages cannot name one. The pictures of another are let go. */
  choose(folder: string): ChosenFolder {
    this.#gallery.close()
    this.#folder = folder
    return { folder, canResume: canResume(this.#out(folder)) }
  }

  train(settings: TrainingSettings): Promise<TrainResult | null> {
    const folder = this.#chosen()
    const { epochs, resume } = settings
    return this.#training.run({ epochs, resume, folder, out: this.#out(folder) }, this.#tell)
  }

  stop(): Promise<void> {
    return this.#training.stop()
  }

  async openGallery(): Promise<FoundPicture[]> {
    const folder = this.#chosen()
    return shown(folder, await this.#gallery.open(this.#out(folder), folder))
  }

  async neighbours(name: string): Promise<FoundPicture[]> {
    const folder = this.#chosen()
    if ((await this.pictureFile(name)) === null) throw new Error(`${name} is not in the folder`)
    return shown(folder, await this.#gallery.neighbours(join(folder, name)))
  }

  /** The file of a picture's name; null outside the folder. */
  async pictureFile(name: string): Promise<string | null> {
    return this.#folder === null ? null : fileWithin(this.#folder, name)
  }

  /** Stops what runs; a training leaves a checkpoint. */
  async close(): Promise<void> {
    await this.#training.stop()
    this.#gallery.close()
  }

  #chosen(): string {
    if (this.#folder === null) throw new Error('no folder is chosen')
    return this.#folder
  }

  /** One run directory a folder, so that its training can go on another day. */
  #out(folder: string): string {
    return join(this.#runs, createHash('sha256').update(folder).digest('hex').slice(0, 16))
  }
}

function shown(folder: string, pictures: readonly GalleryPicture[]): FoundPicture[] {
  return pictures.map(({ path, similarity }) => {
    const name = nameWithin(folder, path)
    return { name, url: pictureUrl(name), similarity }
  })
}
