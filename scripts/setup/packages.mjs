// The npm packages of the lockfile, installed when node_modules does not hold exactly them.
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { SetupError } from './errors.mjs'
import { startProgress } from './progress.mjs'
import { runCommand } from './run-command.mjs'

/** npm writes node_modules/.package-lock.json last, so a killed install is never taken for a whole one. */
export function packagesInstalled(root) {
  try {
    const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
    const present = JSON.parse(
      readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8'),
    ).packages
    return Object.entries(wanted).every(([path, { version, optional, link }]) => {
      if (path === '' || link) return true
      // Packages for other platforms are in the lockfile and rightly not installed.
      if (!present[path]) return optional === true
      return present[path].version === version && existsSync(join(root, path))
    })
  } catch {
    return false
  }
}

/** @param {string} root */
export async function installPackages(root) {
  const done = startProgress('installing npm packages')
  const [command, args] = npmCommand()
  // --include=dev: NODE_ENV=production would leave the compilers out.
  const { code, output } = await runCommand(
    command,
    [...args, 'ci', '--include=dev', '--no-audit', '--no-fund'],
    { cwd: root },
  )
  if (code !== 0) {
    done('failed')
    const reasons = [...output.matchAll(/^npm error (.+)$/gm)].map((found) => found[1])
    const reason = reasons.slice(0, 2).join(': ') || output.trim().slice(-300)
    throw new SetupError(`npm ci failed (${reason}): check the network and run again.`)
  }
  done()
}

/** The npm that runs this script, else the one on PATH. @returns {[string, string[]]} */
export function npmCommand() {
  const own = process.env.npm_execpath
  if (own && basename(own).startsWith('npm') && existsSync(own)) return [process.execPath, [own]]
  return process.platform === 'win32' ? ['cmd', ['/c', 'npm']] : ['npm', []]
}
