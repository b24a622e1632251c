// Progress on standard error: one rewritten line on a terminal, else a plain line every ten seconds.
const PLAIN_EVERY_MS = 10_000
const TERMINAL_EVERY_MS = 500

/**
 * Shows `label` and what `detail` says until the returned function is called.
 * Nothing is shown for work that ends within two seconds.
 * @param {string} label
 * @param {() => string} [detail]
 * @returns {(outcome?: string) => void}
 */
export function startProgress(label, detail = () => '') {
  const terminal = process.stderr.isTTY === true
  const started = Date.now()
  let shown = false
  const show = () => {
    shown = true
    const extra = detail()
    const line = `set-up: ${label}: ${elapsed(started)}${extra ? `, ${extra}` : ''}`
    process.stderr.write(
      terminal ? `\r\x1b[2K${line.slice(0, process.stderr.columns || 80)}` : `${line}\n`,
    )
  }
  let timer
  const first = setTimeout(() => {
    show()
    timer = setInterval(show, terminal ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS)
    timer.unref()
  }, 2_000)
  first.unref()
  return (outcome = 'done') => {
    clearTimeout(first)
    clearInterval(timer)
    if (!shown) return
    process.stderr.write(
      `${terminal ? '\r\x1b[2K' : ''}set-up: ${label}: ${outcome} after ${elapsed(started)}\n`,
    )
  }
}

/** One line that stays. @param {string} text */
export function say(text) {
  process.stderr.write(`set-up: ${text}\n`)
}

function elapsed(started) {
  const seconds = Math.round((Date.now() - started) / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}
