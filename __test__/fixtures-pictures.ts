/** Pictures for tests: small, different from each other, the same in every run. */

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Sample } from '../ts/index.js'
import { encodePng } from '../ts/report/png.js'

const SIDE = 20
const CLASSES = ['blue', 'red']

/** A PNG file: a class's colour, and a pattern that no other number has. */
export function picture(number: number, side: number = SIDE): Buffer {
  const data = new Uint8Array(3 * side * side)
  let state = (number * 2654435761 + 1) >>> 0
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const channel = i % 3
    const isOwn = channel === (classOf(number) === 'red' ? 0 : 2)
    data[i] = (isOwn ? 160 : 30) + ((state >>> 24) % 80)
  }
  return encodePng({ width: side, height: side, data })
}

/** The class of a picture. */
export function classOf(number: number): string {
  return CLASSES[number % CLASSES.length] as string
}

/** Pictures in memory, with their classes unless told otherwise. */
export function samples(
  count: number,
  labelOf: ((number: number) => string) | null = classOf,
): Sample[] {
  return Array.from({ length: count }, (_, number) => {
    const bytes = picture(number)
    return labelOf === null ? { bytes } : { bytes, label: labelOf(number) }
  })
}

/** Writes pictures into a folder, sub-folders by class; returns their paths in number's order. */
export async function writePictures(folder: string, count: number): Promise<string[]> {
  const paths: string[] = []
  for (let number = 0; number < count; number++) {
    const path = join(folder, classOf(number), `${String(number).padStart(4, '0')}.png`)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, picture(number))
    paths.push(path)
  }
  return paths
}
