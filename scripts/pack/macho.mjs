// The search path (rpath) of an addon for macOS, by Apple's own programs. Not yet run.
import { spawnSync } from 'node:child_process'

/**
 * Takes the folders of the machine that built it out of the search path, and signs anew what has changed.
 * @param {string} path the addon, changed in place
 */
export function cleanMacAddon(path) {
  for (const folder of rpaths(run('otool', ['-l', path])))
    if (!folder.startsWith('@')) run('install_name_tool', ['-delete_rpath', folder, path])
  // Without a signature, be it one of nobody, arm64 does not load it.
  run('codesign', ['--force', '--sign', '-', path])
}

/** The paths of `otool -l`'s LC_RPATH commands. @param {string} text */
export function rpaths(text) {
  return [...text.matchAll(/cmd LC_RPATH\s+cmdsize \d+\s+path (.+) \(offset \d+\)/g)].map(
    ([, path]) => path,
  )
}

function run(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args[0]} failed: ${stderr}`)
  return stdout
}
