/** The gallery's process under plain Node: for tests and the preview. */

import { fork } from 'node:child_process'
import type { GalleryAnswer, GalleryProcess } from './messages.js'

/** Starts the program at `path`. */
export function startNodeProcess(path: string): GalleryProcess {
  const child = fork(path, { serialization: 'advanced' })
  return {
    post: (request) => void child.send(request),
    onAnswer: (callback) => void child.on('message', (answer) => callback(answer as GalleryAnswer)),
    onExit: (callback) => void child.on('exit', callback),
    end: () => void child.kill(),
  }
}
