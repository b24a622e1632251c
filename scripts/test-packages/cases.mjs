// What must work, one line a case, in the order in which they share their folders.
import { failureCases } from './failures.mjs'
import { managerCases, twoVersions } from './manager-cases.mjs'
import { neighbourCases } from './neighbour-cases.mjs'
import { npmCases } from './npm-cases.mjs'

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {boolean} [isNeeded] others use what it installs
 * @property {() => Promise<void>} work throws when it is not as it must be
 */

/**
 * @param {import('./machine.mjs').Machine} machine
 * @param {{ version: string, other?: string }} versions of nnclr in the registry; without `other` no case needs two
 * @returns {Generator<Case>}
 */
export function* allCases(machine, versions) {
  yield* npmCases(machine)
  yield* neighbourCases(machine)
  yield* failureCases(machine, versions.version)
  yield* managerCases(machine)
  if (versions.other !== undefined) yield* twoVersions(machine, versions)
}
