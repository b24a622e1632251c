/** Checks of what an embedder is given; the ranges are those of a training's settings. */

import { type Check, didYouMean, show, text, whole } from '../config/check.js'
import { nearest } from '../config/nearest.js'
import { schema } from '../config/schema.js'
import { type ConfigIssue, NnclrError } from '../errors.js'

/** Checks of how a backbone is opened. */
const CHECKS: Readonly<Record<string, Check>> = {
  checkpoint: text('the path of a checkpoint or of a run directory'),
  imageSize: schema.imageSize,
  // Training needs two pictures for its batch norm, embedding does not.
  batchSize: whole({ min: 1, max: 2 ** 20 }),
  device: schema.device,
  threads: schema.threads,
  workers: schema.workers,
  maxPixels: schema.maxPixels,
  maxBytes: schema.maxBytes,
}

const PICTURE = text('the path of a picture, or the bytes of one as a Uint8Array')

/** Checks the fields that say how a backbone is opened; others are left alone. @throws CONFIG */
export function checkBackboneOptions(options: object): void {
  const given = options as Readonly<Record<string, unknown>>
  const issues = Object.entries(CHECKS).flatMap(([field, check]): ConfigIssue[] => {
    const value = given[field]
    if (value === undefined && field !== 'checkpoint') return []
    return check.accepts(value) ? [] : [issueOf(field, value, check)]
  })
  if (issues.length > 0) throw NnclrError.config(issues)
}

/** Checks what `openEmbedder` was called with. @throws NnclrError CONFIG */
export function checkEmbedderOptions(checkpoint: unknown, options: unknown): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const expected = 'an object, for example { threads: 2 }'
    throw NnclrError.config([{ field: 'options', value: show(options), expected }])
  }
  const known = Object.keys(CHECKS).filter((field) => field !== 'checkpoint')
  const unknown = Object.entries(options).filter(([field]) => !known.includes(field))
  if (unknown.length > 0) {
    throw NnclrError.config(
      unknown.map(([field, value]) => {
        const issue = { field, value: show(value), expected: 'a known field' }
        const hint = didYouMean(nearest(field, known))
        return hint === undefined ? issue : { ...issue, hint }
      }),
    )
  }
  checkBackboneOptions({ ...options, checkpoint })
}

/** Checks a single picture, so that a wrong one fails before it is put together with others. */
export function checkPicture(picture: unknown): void {
  if (picture instanceof Uint8Array || PICTURE.accepts(picture)) return
  throw NnclrError.config([issueOf('picture', picture, PICTURE)])
}

function issueOf(field: string, value: unknown, check: Check): ConfigIssue {
  const issue = { field, value: show(value), expected: check.expected }
  const hint = check.hint?.(value)
  return hint === undefined ? issue : { ...issue, hint }
}
