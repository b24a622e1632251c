/** The folder that clients may name things in, and the walls around it. */

import { realpath } from 'node:fs/promises'
import { isAbsolute, relative, resolve, sep } from 'node:path'
import { Problem } from './problem.js'

/** Turns names of clients into paths within one folder. */
export class DataRoot {
  readonly #root: string

  private constructor(root: string) {
    this.#root = root
  }

  /** @throws when the folder is not there */
  static async open(root: string): Promise<DataRoot> {
    return new DataRoot(await realpath(root))
  }

  /**
   * The path of a name, links followed. Names are relative, with `/`.
   *
   * @throws Problem 400 for a name that leads out, 404 for one that is not there
   */
  async resolve(name: string): Promise<string> {
    if (name === '' || name.includes('\0') || isAbsolute(name) || /^[A-Za-z]:|\\/.test(name)) {
      throw outside(name)
    }
    const path = resolve(this.#root, name)
    // Before the disk is asked, so that nothing outside can be probed for.
    if (!this.#holds(path)) throw outside(name)
    let real: string
    try {
      real = await realpath(path)
    } catch {
      throw new Problem(404, 'NOT_FOUND', `${name} is not there`)
    }
    if (!this.#holds(real)) throw outside(name)
    return real
  }

  /** The folder, links followed. */
  get path(): string {
    return this.#root
  }

  /** The name of a path within the folder. */
  nameOf(path: string): string {
    return relative(this.#root, path).split(sep).join('/')
  }

  #holds(path: string): boolean {
    return path === this.#root || path.startsWith(this.#root + sep)
  }
}

function outside(name: string): Problem {
  const shown = JSON.stringify(name.slice(0, 100))
  return new Problem(400, 'OUTSIDE', `${shown} is not a relative path within the data folder`)
}
