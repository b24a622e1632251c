/**
 * The pictures that all sides read: a part of a given folder, copied so that every program sees the
 * same files and nothing else, or generated ones.
 */

import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** What pictures are measured with. */
export type PictureKind = 'small' | 'photographs'

/** Writes `count` pictures of a kind below a folder. */
export type Generate = (kind: PictureKind, count: number, folder: string) => Promise<void>

/** Folders of pictures, made when asked for. */
export class Pictures {
  readonly #scratch: string
  readonly #given: Readonly<Record<PictureKind, string | null>>
  readonly #generate: Generate
  readonly #made: Map<string, Promise<string>> = new Map()

  /** `given` are the folders to take from; null has pictures generated. */
  constructor(
    scratch: string,
    given: Readonly<Record<PictureKind, string | null>>,
    generate: Generate,
  ) {
    this.#scratch = scratch
    this.#given = given
    this.#generate = generate
  }

  /** What the pictures are, for the report. */
  get description(): Record<PictureKind, string> {
    const told = (kind: PictureKind, generated: string): string =>
      this.#given[kind] === null ? generated : 'of the given folder'
    return {
      small: told('small', 'generated, 32 x 32 JPEG'),
      photographs: told('photographs', 'generated, 500 x 375 JPEG'),
    }
  }

  /**
   * A folder of `count` pictures, evenly taken from the given folder.
   *
   * @throws Error when that has fewer.
   */
  folder(kind: PictureKind, count: number): Promise<string> {
    const name = `${kind}-${count}`
    const made = this.#made.get(name) ?? this.#make(kind, count, join(this.#scratch, name))
    this.#made.set(name, made)
    return made
  }

  async #make(kind: PictureKind, count: number, folder: string): Promise<string> {
    const given = this.#given[kind]
    await mkdir(folder, { recursive: true })
    if (given === null) {
      await this.#generate(kind, count, folder)
      return folder
    }
    const found = (await readdir(given, { recursive: true })).filter((name) =>
      /\.(jpe?g|png)$/i.test(name),
    )
    for (const name of evenly(found.sort(), count, given)) {
      const target = join(folder, name)
      await mkdir(dirname(target), { recursive: true })
      await copyFile(join(given, name), target)
    }
    return folder
  }
}

/** `count` of `names`, evenly spaced. @throws Error when there are fewer. */
export function evenly(names: readonly string[], count: number, folder: string): string[] {
  if (names.length < count) {
    throw new Error(`${folder} holds ${names.length} JPEG and PNG files, ${count} are needed`)
  }
  return Array.from({ length: count }, (_, i) => {
    return names[Math.floor((i * names.length) / count)] as string
  })
}
