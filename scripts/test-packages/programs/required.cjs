// From CommonJS by require, which Node >= 20.19 does for ES modules.
const { train } = require('nnclr')

const { PICTURES: data, OUT: out } = process.env
train({ data, out, epochs: 1, batchSize: 8, threads: 1 }).then(({ loss }) =>
  console.log(`trained, loss ${loss}`),
)
