// Beside sharp and onnxruntime-node, in the order that ORDER says. Each works before and after the others are loaded.
const works = {
  nnclr: async () => {
    const { train } = await import('nnclr')
    const { PICTURES: data, OUT: out } = process.env
    const settings = { data, out, overwrite: true, epochs: 1, batchSize: 8, threads: 1 }
    const { loss } = await train(settings)
    return loss
  },
  sharp: async () => {
    const { default: sharp } = await import('sharp')
    const create = { width: 64, height: 64, channels: 3, background: '#336699' }
    const png = await sharp({ create }).resize(16, 16).png().toBuffer()
    const { width } = await sharp(png).metadata()
    if (width !== 16) throw new Error(`sharp gave a width of ${width}`)
  },
  'onnxruntime-node': async () => {
    const { InferenceSession, Tensor } = (await import('onnxruntime-node')).default
    const session = await InferenceSession.create(reluModel())
    const { y } = await session.run({ x: new Tensor('float32', [-1, 2], [2]) })
    if (y.data[0] !== 0 || y.data[1] !== 2) throw new Error(`ReLU gave ${y.data}`)
    await session.release()
  },
}

/** y = ReLU(x) of two floats, as ONNX's protocol buffers have it. */
function reluModel() {
  const field = (number, bytes) => [number * 8 + 2, bytes.length, ...bytes]
  const text = (number, string) => field(number, [...Buffer.from(string)])
  const shape = field(2, field(1, [8, 2]))
  const type = field(2, field(1, [8, 1, ...shape]))
  const value = (name) => [...text(1, name), ...type]
  const node = [...text(1, 'x'), ...text(2, 'y'), ...text(4, 'Relu')]
  const inputs = [...field(11, value('x')), ...field(12, value('y'))]
  const graph = [...field(1, node), ...text(2, 'relu'), ...inputs]
  return Uint8Array.from([8, 8, ...field(7, graph), ...field(8, [16, 13])])
}

let loss
const order = (process.env.ORDER ?? '').split(',')
for (const name of [...order, ...order]) loss = (await works[name]()) ?? loss
console.log(`trained, loss ${loss}`)
