// Run by Node itself, which strips the types; and checked by the compiler against the packed typings.
import { NnclrError, type TrainConfig, type TrainEvent, train } from 'nnclr'

const { PICTURES = '', OUT = '' } = process.env
const config: TrainConfig = { data: PICTURES, out: OUT, epochs: 1, batchSize: 8, threads: 1 }
const types = new Set<TrainEvent['type']>()
try {
  const run = train(config)
  for await (const event of run) types.add(event.type)
  const { loss } = await run
  if (!types.has('epoch') || !types.has('end')) throw new Error(`events: ${[...types].join()}`)
  console.log(`trained, loss ${loss}`)
} catch (error) {
  if (error instanceof NnclrError) console.error(error.code)
  throw error
}
