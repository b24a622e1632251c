// Other programs, as steps of a release.
import { spawnSync } from 'node:child_process'
import { npmCommand } from '../setup/packages.mjs'

/**
 * A step that is another program; the harmless ones run in a rehearsal too.
 * @param {string} root @param {string} name @param {string[]} words @param {boolean} [harmless]
 * @returns {import('./run-steps.mjs').Step}
 */
export function command(root, name, words, harmless = false) {
  const line = words.join(' ')
  const act = () => {
    const [program, ...args] = words
    const [file, first] = program === 'npm' ? npmCommand() : [program, []]
    const { status } = spawnSync(file, [...first, ...args], { cwd: root, stdio: 'inherit' })
    if (status !== 0) throw new Error(`${line} failed`)
  }
  if (!harmless) return { name, look: () => `would run: ${line}`, act }
  const look = () => {
    act()
    return `ran: ${line}`
  }
  return { name, look }
}

/** @param {string} root @param {string[]} args @returns {string} what git says */
export function git(root, ...args) {
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`git ${args[0]}: ${stderr.trim().split('\n')[0]}`)
  return stdout.trim()
}

/** Stops when a file is changed and not committed. @param {string} root */
export function checkClean(root) {
  const changed = git(root, 'status', '--porcelain').split('\n').filter(Boolean)
  if (changed.length > 0) throw new Error(`${changed.length} files are not committed`)
}
