// Folders of the machine that built it, which panics and C++ messages carry: shortened to ~ and . in place.
import { homedir } from 'node:os'

/** Below this length a folder's name could be machine code by chance. */
const SHORTEST = 5

/**
 * @param {string} root the repository
 * @returns {[string, string][]} a folder and what stands for it, the longest first
 */
export function buildFolders(root) {
  const folders = [
    [root, '.'],
    [process.env.CARGO_HOME ?? '', '~'],
    [process.env.RUSTUP_HOME ?? '', '~'],
    [homedir(), '~'],
  ]
  return folders
    .filter(([folder]) => folder.length >= SHORTEST)
    .sort(([a], [b]) => b.length - a.length)
}

/**
 * Puts `~////` for `/home`: of the same length, because Rust's strings have their length elsewhere.
 * @param {Buffer} bytes changed in place
 * @param {[string, string][]} folders
 * @returns {number} how many were found
 */
export function hideFolders(bytes, folders) {
  let count = 0
  for (const [folder, sign] of folders) {
    const shown = sign + '/'.repeat(folder.length - sign.length)
    for (const inside of [`${folder}/`, `${folder}\\`]) {
      let at = bytes.indexOf(inside)
      while (at >= 0) {
        bytes.write(shown, at, 'latin1')
        count += 1
        at = bytes.indexOf(inside, at + folder.length)
      }
    }
  }
  return count
}

/** @param {Buffer} bytes @param {[string, string][]} folders @returns {string[]} those still in it */
export function foundFolders(bytes, folders) {
  return folders
    .map(([folder]) => folder)
    .filter((folder) => bytes.includes(`${folder}/`) || bytes.includes(`${folder}\\`))
}
