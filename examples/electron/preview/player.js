/**
 * In place of the preload script: answers the page from a recording, and presses its buttons. The
 * address says how far: `?until=training` stops amid the events, `refused` when the app refuses to
 * train, `asked` after a picture whose neighbours cannot be had, `changed` after a second choice.
 */

const until = new URLSearchParams(location.search).get('until')
const { recording } = window
const listeners = new Set()

/** Resolves when the events have been told. */
let isTold = () => {}
const told = new Promise((resolve) => {
  isTold = resolve
})

/** Lets the page draw between events. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 5))

window.nnclr = {
  chooseFolder: async () => ({ folder: recording.folder, canResume: false }),
  train: async () => {
    if (until === 'refused') throw new Error("Error invoking remote method 'train': Error: refused")
    const { events } = recording
    const some = until === 'training' ? events.slice(0, Math.floor(events.length * 0.6)) : events
    for (const event of some) {
      for (const listener of listeners) listener(event)
      await pause()
    }
    isTold()
  },
  stop: async () => {},
  openGallery: async () => recording.gallery,
  neighbours: async (name) => {
    const found = recording.neighbours[name]
    if (found === undefined) throw new Error('nothing is recorded of this one')
    return found
  },
  onEvent: (listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  },
}

/** Presses a button when it can be pressed. */
async function press(selector) {
  for (;;) {
    const button = document.querySelector(selector)
    if (button !== null && !button.disabled) return button.click()
    await pause()
  }
}

/** Waits until the page shows something. */
async function appears(selector) {
  while (document.querySelector(selector) === null) await pause()
}

/** Presses what the address asks for. */
async function play() {
  await press('#choose')
  await press('#train')
  if (until === 'training') return told
  if (until === 'refused') return appears('#state.failed')
  await press('#gallery')
  await press('#thumbnails button')
  await appears('#neighbours img')
  if (until === 'asked') {
    await press('#thumbnails li:last-child button')
    await appears('#hint.failed')
  }
  if (until === 'changed') {
    await press('#choose')
    while (document.querySelector('.pictures img') !== null) await pause()
  }
  await Promise.all([...document.querySelectorAll('.pictures img')].map((one) => one.decode()))
}

// Before the page has finished loading, which waits for a picture that comes after `done.png`.
window.addEventListener('DOMContentLoaded', async () => {
  await play()
  // The last events are drawn in the next frame.
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
  new Image().src = 'done.png'
})
