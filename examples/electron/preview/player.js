/**
 * In place of the preload script: answers the page from a recording, and presses its buttons. The
 * address says how far: `?until=training` stops amid the events.
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
  neighbours: async (name) => recording.neighbours[name] ?? [],
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

/** Presses what the address asks for. */
async function play() {
  await press('#choose')
  await press('#train')
  if (until === 'training') return told
  await press('#gallery')
  await press('#thumbnails button')
  while (document.querySelector('#neighbours img') === null) await pause()
  await Promise.all([...document.querySelectorAll('.pictures img')].map((one) => one.decode()))
}

// Before the page has finished loading, which waits for a picture that comes after `done.png`.
window.addEventListener('DOMContentLoaded', async () => {
  await play()
  // The last events are drawn in the next frame.
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
  new Image().src = 'done.png'
})
