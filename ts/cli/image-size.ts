/** The size of pictures that a trained network is given; of `knn` and `embed`. */

import { show } from '../config/check.js'
import { schema } from '../config/schema.js'
import type { ConfigIssue } from '../errors.js'
import { valueFromText } from './config-flags.js'
import type { Arguments, Flag } from './flags.js'

/** The flag. */
export const IMAGE_SIZE_FLAG: Flag = {
  key: 'imageSize',
  name: 'image-size',
  isSwitch: false,
  words:
    'side to which pictures are brought, in pixels; unless given, that at which the training compares them',
  expected: schema.imageSize.expected,
}

/** Its value as an option, nothing when it was not given; what is wrong with it goes to `issues`. */
export function imageSizeOf(args: Arguments, issues: ConfigIssue[]): { imageSize?: number } {
  const text = args.values.get(IMAGE_SIZE_FLAG.key)
  if (text === undefined) return {}
  const value = valueFromText(String(text), schema.imageSize)
  if (schema.imageSize.accepts(value)) return { imageSize: value as number }
  const { expected } = schema.imageSize
  issues.push({ field: `--${IMAGE_SIZE_FLAG.name}`, value: show(value), expected })
  return {}
}
