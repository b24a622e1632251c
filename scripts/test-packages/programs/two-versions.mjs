// Two versions of nnclr in one process: two addons, one libtorch.
import { train as first } from 'nnclr'
import { train as second } from 'nnclr-other'

const { PICTURES: data, OUT: out } = process.env
const settings = { data, epochs: 1, batchSize: 8, threads: 1 }
const runs = [first({ ...settings, out: `${out}/a` }), second({ ...settings, out: `${out}/b` })]
const [a, b] = await Promise.all(runs)
if (a.loss !== b.loss) throw new Error(`losses ${a.loss} and ${b.loss}`)
console.log(`trained, loss ${a.loss}`)
