/** What clients are told has names in place of this machine's paths. */

import { dirname, sep } from 'node:path'

/** A file or folder of this machine and what it is called. */
export interface NamedPath {
  /** Absolute. */
  readonly path: string
  /** An empty name leaves the names within the folder as they are. */
  readonly name: string
}

/** Replaces paths in texts, and in the texts of whole answers. */
export class ToldPaths {
  readonly #names: readonly (readonly [pattern: RegExp, name: string])[]

  constructor(paths: readonly NamedPath[]) {
    this.#names = paths
      // The root of a disk is in every path and tells nothing.
      .filter(({ path }) => dirname(path) !== path)
      // A folder within another one first: what is left of it would not be found any more.
      .sort((a, b) => b.path.length - a.path.length)
      .map(({ path, name }) => [patternOf(path), name] as const)
  }

  /** A text without paths. */
  text(words: string): string {
    return this.#names.reduce(
      (told, [pattern, name]) =>
        told.replace(pattern, (_all, slash: string | undefined) => {
          if (slash === undefined) return name === '' ? '.' : name
          return name === '' ? '' : `${name}/`
        }),
      words,
    )
  }

  /** A value as JSON without paths, and without an abort signal, which belongs to this process. */
  json(value: unknown): string {
    return JSON.stringify(value, (key, inner: unknown) => {
      if (key === 'signal') return undefined
      return typeof inner === 'string' ? this.text(inner) : inner
    })
  }
}

/** The path where it stands for itself: `/data` is neither in `/srv/data` nor in `/database`. */
function patternOf(path: string): RegExp {
  const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  return new RegExp(`(?<![\\w.-])${escaped(path)}(?:(${escaped(sep)})|(?![\\w.-]))`, 'g')
}
