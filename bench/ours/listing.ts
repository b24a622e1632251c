/** Listing a folder and shuffling the list: seconds of each, and the memory that the list takes. */

import { ImageFolder } from '../../ts/index.js'
import { epochOrder } from '../../ts/sampler.js'
import { print, readSettings, secondsSince } from './program.js'

const { data } = readSettings<{ data: string }>()
const before = process.memoryUsage.rss()
const start = performance.now()
const { length } = await new ImageFolder(data).open()
const list = secondsSince(start)
const listed = process.memoryUsage.rss()
const shuffleStart = performance.now()
const order = epochOrder(length, { seed: 0, epoch: 0, shuffle: true })
print({
  files: order.length,
  list,
  shuffle: secondsSince(shuffleStart),
  // Of the resident set: what the garbage collector had not yet given back is in it.
  memory: listed - before,
})
