// Runs steps in order. What has been written is undone when a later step fails, so that the whole can be repeated.

/**
 * @typedef {object} Step
 * @property {string} name what it does
 * @property {() => string} look does no harm; says what is so or would be done, throws a reason to stop
 * @property {() => void} [act] does it
 * @property {() => void} [undo] undoes what `act` has done, be it half of it or nothing
 */

/**
 * @param {Step[]} steps
 * @param {{ dryRun?: boolean, say?: (text: string) => void }} [options] `dryRun` looks and goes on after a stop
 * @returns {number} at how many steps it stopped
 */
export function runSteps(steps, { dryRun = false, say = console.log } = {}) {
  /** @type {Step[]} */
  const acted = []
  let stops = 0
  try {
    for (const [i, step] of steps.entries()) {
      say(`\n${i + 1}. ${step.name}`)
      try {
        say(indent(step.look()))
        if (!step.act || dryRun) continue
        if (step.undo) remember(step, acted)
        step.act()
      } catch (error) {
        say(indent(`STOP: ${message(error)}`))
        stops += 1
        if (dryRun) continue
        undo(acted, say)
        break
      }
    }
  } finally {
    process.off('SIGINT', carryOn)
  }
  return stops
}

/** From the first write on, Ctrl-C ends the step's program, and the step's failure undoes what was written. */
function remember(step, acted) {
  if (acted.length === 0) process.on('SIGINT', carryOn)
  acted.push(step)
}

function carryOn() {}

function undo(acted, say) {
  for (const step of acted.toReversed()) {
    try {
      step.undo()
      say(indent(`undone: ${step.name}`))
    } catch (error) {
      say(indent(`NOT undone: ${step.name}: ${message(error)}`))
    }
  }
}

function message(error) {
  return error instanceof Error ? error.message : String(error)
}

function indent(text) {
  return text.replace(/^/gm, '   ')
}
