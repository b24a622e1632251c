// The same in a child process of nnclr's.
import { train } from 'nnclr'

const { PICTURES: data, OUT: out } = process.env
const run = train({ data, out, epochs: 1, batchSize: 8, threads: 1 }, { isolate: true })
const { loss } = await run
console.log(`trained, loss ${loss}`)
