/** The gallery's process under Electron. */

import { utilityProcess } from 'electron'
import type { GalleryAnswer, GalleryProcess } from './messages.js'

/** Starts the program at `path`. */
export function startElectronProcess(path: string): GalleryProcess {
  const child = utilityProcess.fork(path, [], { serviceName: 'nnclr gallery' })
  return {
    post: (request) => child.postMessage(request),
    onAnswer: (callback) => void child.on('message', (answer) => callback(answer as GalleryAnswer)),
    onExit: (callback) => void child.on('exit', callback),
    end: () => void child.kill(),
  }
}
