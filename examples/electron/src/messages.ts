/** What the app and the process with the embedded pictures say to each other. */

/** Asked of the process. */
export type GalleryRequest =
  | {
      readonly id: number
      readonly type: 'open'
      readonly checkpoint: string
      readonly folder: string
    }
  | {
      readonly id: number
      readonly type: 'neighbours'
      readonly picture: string
      readonly k: number
    }

/** A picture by its path, with its similarity to the one that was asked for. */
export interface GalleryPicture {
  readonly path: string
  readonly similarity: number
}

/** Answered by it. */
export type GalleryAnswer =
  | { readonly id: number; readonly pictures: readonly GalleryPicture[] }
  | { readonly id: number; readonly error: { readonly code: string; readonly message: string } }

/** The process as the app holds it: Electron's utility process, or Node's child process. */
export interface GalleryProcess {
  post(request: GalleryRequest): void
  onAnswer(callback: (answer: GalleryAnswer) => void): void
  onExit(callback: (code: number | null) => void): void
  end(): void
}
