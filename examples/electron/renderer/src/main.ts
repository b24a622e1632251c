/** The page: buttons to calls, events to what is shown. */

import type { DesktopApi } from '../../src/api.js'
import { drawChart } from './chart.js'
import { showChoices, showFound } from './pictures.js'
import { advance, IDLE, type Progress } from './progress.js'

declare global {
  interface Window {
    /** Put there by the preload script. */
    readonly nnclr: DesktopApi
  }
}

const api = window.nnclr

function element<T extends Element>(id: string, kind: new () => T): T {
  const found = document.getElementById(id)
  if (found instanceof kind) return found
  throw new Error(`the page has no ${id}`)
}

const button = (id: string): HTMLButtonElement => element(id, HTMLButtonElement)
const [choose, train, resume, stop, gallery] = [
  button('choose'),
  button('train'),
  button('resume'),
  button('stop'),
  button('gallery'),
]
const epochs = element('epochs', HTMLInputElement)
const asked = element('asked', HTMLHeadingElement)
const hint = element('hint', HTMLParagraphElement)

let progress: Progress = IDLE
let isChosen = false
let hasCheckpoint = false
let isDrawn = true

/** Draws at most once a frame, however many events come. */
function redraw(): void {
  if (!isDrawn) return
  isDrawn = false
  requestAnimationFrame(() => {
    isDrawn = true
    draw()
  })
}

function draw(): void {
  const isRunning = progress.state === 'running'
  const state = element('state', HTMLParagraphElement)
  state.textContent = progress.sentence
  state.className = progress.state
  element('progress', HTMLProgressElement).value = progress.share
  drawChart(element('chart', SVGElement), progress)
  const warnings = progress.warnings.map((warning) => {
    const item = document.createElement('li')
    item.textContent = warning
    return item
  })
  element('warnings', HTMLUListElement).replaceChildren(...warnings)
  choose.disabled = isRunning
  train.disabled = isRunning || !isChosen
  resume.disabled = isRunning || !isChosen || !hasCheckpoint
  stop.disabled = !isRunning
  gallery.disabled = isRunning || !hasCheckpoint
}

/** Runs what a button asks for; what goes wrong is told where the pictures are. */
function onClick(target: HTMLButtonElement, work: () => Promise<unknown>): void {
  target.addEventListener('click', () => {
    work().catch((error: unknown) => {
      hint.textContent = error instanceof Error ? error.message : String(error)
      hint.className = 'failed'
    })
  })
}

onClick(choose, async () => {
  const chosen = await api.chooseFolder()
  if (chosen === null) return
  element('folder', HTMLSpanElement).textContent = chosen.folder
  isChosen = true
  hasCheckpoint = chosen.canResume
  redraw()
})

async function start(isResumed: boolean): Promise<void> {
  progress = { ...IDLE, state: 'running', sentence: 'beginning' }
  redraw()
  await api.train({ epochs: Number(epochs.value), resume: isResumed })
}

onClick(train, () => start(false))
onClick(resume, () => start(true))
onClick(stop, () => api.stop())
onClick(gallery, async () => {
  hint.className = 'quiet'
  hint.textContent = 'embedding the folder …'
  const pictures = await api.openGallery()
  hint.textContent = 'Choose one to see which others the network finds alike.'
  showChoices(element('thumbnails', HTMLUListElement), pictures, ({ name }) => {
    void api.neighbours(name).then((found) => {
      asked.hidden = false
      showFound(element('neighbours', HTMLOListElement), found)
    })
  })
})

api.onEvent((event) => {
  progress = advance(progress, event)
  if (event.type === 'checkpoint') hasCheckpoint = true
  redraw()
})
draw()
