import test from 'ava'
import { train } from '../../ts/index.js'
import { failureOf, heard } from '../fixtures-isolate.js'
import { isQuiet, marked, rankOf } from '../fixtures-ranks.js'
import { tiny } from '../fixtures-runs.js'
import { temporaryFolder } from '../temporary-folder.js'

test('kill -9 of a rank ends all, with the rank, the signal and the last checkpoint', async (t) => {
  const out = await temporaryFolder(t)
  const config = tiny(out, { epochs: 5000, devices: 2, distributed: { timeoutSeconds: 20 } })
  let began = 0
  const run = train(config, { isolate: { env: marked(out) } })
  const error = await failureOf(
    t,
    heard(run, async ({ type }) => {
      if (type !== 'checkpoint' || began > 0) return
      began = Date.now()
      process.kill(await rankOf(out, 1), 'SIGKILL')
    }),
  )
  t.true(Date.now() - began < 15_000)
  t.like(error, { code: 'PROCESS', process: { signal: 'SIGKILL' } })
  t.regex(
    error.message,
    /^the process of rank 1 was ended by SIGKILL .* after step \d+; last checkpoint: .*\.safetensors$/,
  )
  t.true(await isQuiet(out))
})
