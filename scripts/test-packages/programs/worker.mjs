// In a worker thread, which trains and ends; the main thread never loads nnclr.
import { isMainThread, parentPort, Worker } from 'node:worker_threads'

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url))
  worker.on('message', (loss) => console.log(`trained, loss ${loss}`))
  worker.on('error', (error) => {
    console.error(error)
    process.exitCode = 1
  })
} else {
  const { train } = await import('nnclr')
  const { PICTURES: data, OUT: out } = process.env
  const { loss } = await train({ data, out, epochs: 1, batchSize: 8, threads: 1 })
  parentPort.postMessage(loss)
}
