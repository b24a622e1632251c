/** The page: buttons to calls, events to what is shown. */

import type { DesktopApi, FoundPicture } from '../../src/api.js'
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
const CHOOSE_ONE = 'Choose one to see which others the network finds alike.'

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
const thumbnails = element('thumbnails', HTMLUListElement)
const neighbours = element('neighbours', HTMLOListElement)
/** What is said beside the pictures before there are any. */
const FIRST_HINT = hint.textContent ?? ''

let progress: Progress = IDLE
let isChosen = false
let hasCheckpoint = false
let isDrawn = true
/** Counts the choices: an answer about the folder before is of no use any more. */
let choice = 0

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

/** Tells something beside the pictures. */
function tell(words: string, kind: 'quiet' | 'failed' = 'quiet'): void {
  hint.textContent = words
  hint.className = kind
}

/** An error in words; Electron writes the call before those of the app. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replace(/^Error invoking remote method '\w+': (Error: )?/, '')
}

/** Does what is asked for of the chosen folder; what goes wrong is told where the pictures are. */
function act(work: () => Promise<unknown>): void {
  const asked = choice
  work().catch((error: unknown) => {
    if (asked === choice) tell(reasonOf(error), 'failed')
  })
}

function onClick(target: HTMLButtonElement, work: () => Promise<unknown>): void {
  target.addEventListener('click', () => act(work))
}

onClick(choose, async () => {
  const chosen = await api.chooseFolder()
  if (chosen === null) return
  choice += 1
  element('folder', HTMLSpanElement).textContent = chosen.folder
  isChosen = true
  hasCheckpoint = chosen.canResume
  progress = IDLE
  thumbnails.replaceChildren()
  showNeighbours([])
  tell(FIRST_HINT)
  redraw()
})

function showNeighbours(found: readonly FoundPicture[]): void {
  asked.hidden = found.length === 0
  showFound(neighbours, found)
}

async function start(isResumed: boolean): Promise<void> {
  progress = { ...IDLE, state: 'running', sentence: 'beginning' }
  redraw()
  try {
    await api.train({ epochs: Number(epochs.value), resume: isResumed })
  } catch (error) {
    // It did not even begin: no event tells it.
    progress = { ...progress, state: 'failed', sentence: reasonOf(error) }
    redraw()
  }
}

onClick(train, () => start(false))
onClick(resume, () => start(true))
onClick(stop, () => api.stop())
onClick(gallery, async () => {
  const opened = choice
  tell('embedding the folder …')
  const pictures = await api.openGallery()
  if (opened !== choice) return
  tell(CHOOSE_ONE)
  showNeighbours([])
  showChoices(thumbnails, pictures, ({ name }) => {
    act(async () => {
      showNeighbours([])
      const found = await api.neighbours(name)
      if (opened !== choice) return
      tell(CHOOSE_ONE)
      showNeighbours(found)
    })
  })
})

api.onEvent((event) => {
  progress = advance(progress, event)
  if (event.type === 'checkpoint') hasCheckpoint = true
  redraw()
})
draw()
