// The least a user writes: pictures in, a loss out. PICTURES and OUT come from the campaign.
import { train } from 'nnclr'

const { PICTURES: data, OUT: out } = process.env
const { loss } = await train({ data, out, epochs: 1, batchSize: 8, threads: 1 })
console.log(`trained, loss ${loss}`)
