/** nnclr's side of peer/bank.py: look-ups in `NNMemoryBankModule`; prints milliseconds a look-up. */

import { NNMemoryBankModule, synchronize, Tensor } from '../../ts/index.js'
import { print, readSettings, repeatFor } from './program.js'

interface BankSettings {
  readonly rows: number
  readonly dim: number
  readonly batchSize: number
  readonly seconds: number
}

const { rows, dim, batchSize, seconds } = readSettings<BankSettings>()
const bank = new NNMemoryBankModule({ size: [rows, dim] })
const queries = Array.from({ length: 4 }, () => {
  // Sums of three are near enough to a normal distribution for a search.
  const component = (): number => Math.random() + Math.random() + Math.random() - 1.5
  return Tensor.from(Float32Array.from({ length: batchSize * dim }, component), [batchSize, dim])
})
let lookups = 0
async function lookUp(): Promise<void> {
  const query = queries[lookups++ % queries.length] as Tensor
  const found = bank.forward(query, { update: false })
  await synchronize()
  found.dispose()
}
await lookUp()
await lookUp()
lookups = 0
const passed = await repeatFor(seconds, lookUp)
print({ milliseconds: (1000 * passed) / lookups })
