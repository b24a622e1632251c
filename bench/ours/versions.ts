/** Prints nnclr's versions and the instruction sets it uses. */

import { systemInfo } from '../../ts/index.js'

console.log(JSON.stringify(await systemInfo()))
