// What becomes of a package, by what the registry has under its name and version.
import { isDeepStrictEqual } from 'node:util'

/**
 * @typedef {object} Verdict
 * @property {'publish' | 'leave' | 'refuse'} what
 * @property {string} why
 */

/**
 * libtorch keeps its version while nnclr goes on, so that its README, licences or compression may change under
 * it. What is loaded may not: its package.json holds the libraries' hashes, and they decide.
 * @param {import('./packages.mjs').Package} one
 * @param {Record<string, any> | null} there the manifest that the registry has of this version
 * @returns {Verdict}
 */
export function verdict({ name, version, integrity, manifest }, there) {
  const spec = `${name}@${version}`
  if (there === null) return { what: 'publish', why: `${spec} is new` }
  if (there.dist?.integrity === integrity)
    return { what: 'leave', why: `${spec} is published already` }
  const libraries = manifest.nnclr?.sha256
  if (libraries === undefined) {
    const why = `${spec} is published with other content: ${there.dist?.integrity}, here ${integrity}. Another attempt takes the tarballs of the first (GitHub: "Re-run failed jobs"), a change takes a new version`
    return { what: 'refuse', why }
  }
  if (isDeepStrictEqual(there.nnclr?.sha256, libraries))
    return { what: 'leave', why: `${spec} is published already with the same libraries` }
  const differing = Object.keys({ ...libraries, ...there.nnclr?.sha256 }).filter(
    (file) => libraries[file] !== there.nnclr?.sha256?.[file],
  )
  const why = `${spec} is published with other libraries (${differing.join(', ')}): they need a version of their own`
  return { what: 'refuse', why }
}
