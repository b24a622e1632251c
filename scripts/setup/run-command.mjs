// Child processes: output is collected, and they end when the set-up ends.
import { spawn, spawnSync } from 'node:child_process'

const KEEP_CHARACTERS = 200_000
/** A group of its own, so that cargo's compilers end with cargo. */
const GROUPS = process.platform !== 'win32'

/**
 * Runs a command to its end and collects its output.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, onLine?: (line: string) => void }} [options]
 * @returns {Promise<{ code: number, output: string }>} code 127: the command does not exist
 */
export function runCommand(command, args, { cwd, env = process.env, onLine } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: GROUPS,
    })
    const stop = () => stopGroup(child)
    process.once('exit', stop)
    let output = ''
    let rest = ''
    const collect = (chunk) => {
      output = (output + chunk).slice(-KEEP_CHARACTERS)
      if (!onLine) return
      const lines = (rest + chunk).split(/\r?\n|\r/)
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line)
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    const end = (code) => {
      process.removeListener('exit', stop)
      resolve({ code, output })
    }
    child.on('error', (error) => {
      output += error.message
      end(127)
    })
    child.on('close', (code) => end(code ?? 1))
  })
}

function stopGroup(child) {
  try {
    if (GROUPS && child.pid) process.kill(-child.pid)
    else child.kill()
  } catch {
    // It ended by itself.
  }
}

/**
 * First line of what a command says, or null when it is missing or fails.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string }} [options]
 * @returns {string | null}
 */
export function probe(command, args, { cwd } = {}) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    timeout: 60_000,
  })
  if (status !== 0) return null
  return (stdout || stderr).split('\n')[0].trim()
}
