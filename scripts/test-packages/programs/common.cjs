// From CommonJS, which every supported Node lets import an ES module.
async function main() {
  const { train } = await import('nnclr')
  const { PICTURES: data, OUT: out } = process.env
  const { loss } = await train({ data, out, epochs: 1, batchSize: 8, threads: 1 })
  console.log(`trained, loss ${loss}`)
}
void main()
