/**
 * What the page sees of the app: six functions, nothing of Electron. Runs sandboxed, where only
 * CommonJS works and only `electron` can be required.
 */

type DesktopApi = import('./api.js', { with: { 'resolution-mode': 'import' }}).DesktopApi
type DesktopEvent = import('./api.js', { with: { 'resolution-mode': 'import' }}).DesktopEvent

const { contextBridge, ipcRenderer } = require('electron') as typeof import('electron')

const api: DesktopApi = {
  chooseFolder: () => ipcRenderer.invoke('chooseFolder'),
  train: (settings) => ipcRenderer.invoke('train', settings),
  stop: () => ipcRenderer.invoke('stop'),
  openGallery: () => ipcRenderer.invoke('openGallery'),
  neighbours: (name) => ipcRenderer.invoke('neighbours', name),
  onEvent: (callback) => {
    const listener = (_event: unknown, event: DesktopEvent): void => callback(event)
    ipcRenderer.on('event', listener)
    return () => ipcRenderer.off('event', listener)
  },
}

contextBridge.exposeInMainWorld('nnclr', api)
