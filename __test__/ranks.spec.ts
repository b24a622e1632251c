import test from 'ava'
import { type TrainConfig, train } from '../ts/index.js'
import { failureOf, heard } from './fixtures-isolate.js'
import { samples } from './fixtures-pictures.js'
import { distances, isQuiet, marked } from './fixtures-ranks.js'
import { checkpointOf, jsonLines, only, tiny } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** 12 pictures train, in steps of 7 and 5; 4 are held back. */
const SETTINGS: Partial<TrainConfig> = {
  data: samples(16),
  validation: 0.25,
  batchSize: 7,
  dropLast: false,
  // Rounding differences grow from step to step, and may choose another neighbour in the end.
  epochs: 1,
  lr: 0.002,
  neighbourWarmup: 0,
  distributed: { checkEverySteps: 1, timeoutSeconds: 20 },
}

test('two ranks do what one process does, as one run', async (t) => {
  const [single, double] = [await temporaryFolder(t), await temporaryFolder(t)]
  const alone = await heard(train(tiny(single, SETTINGS)))
  const joined = await heard(
    train(tiny(double, { ...SETTINGS, devices: 2 }), { isolate: { env: marked(double) } }),
  )
  t.true(await isQuiet(double), 'no rank is left')
  const types = (told: typeof alone) => told.events.map(({ type }) => type)
  t.deepEqual(types(joined), types(alone))
  t.is(only(joined.events, 'start')[0]?.ranks, 2)
  t.like(joined.result, { steps: 2, stopped: false, out: double })
  t.is(joined.result.knnTop1, alone.result.knnTop1)

  const far = await distances(checkpointOf(alone.result), checkpointOf(joined.result))
  for (const [name, distance] of far) t.true(distance < 2e-3, `${name}: ${distance}`)
  const [ours, theirs] = [
    await jsonLines(double, 'metrics.jsonl'),
    await jsonLines(single, 'metrics.jsonl'),
  ]
  t.is(ours.length, theirs.length)
  for (const [i, line] of ours.entries()) {
    for (const [key, value] of Object.entries(line)) {
      const other = theirs[i]?.[key]
      if (typeof value !== 'number') t.is(value, other)
      else t.true(Math.abs(value - Number(other)) < 1e-3, `${key}: ${value} and ${other}`)
    }
  }
  const [step] = only(joined.events, 'step')
  t.true((step?.communication?.bytesPerStep ?? 0) > 1e6, 'the gradients at least')
  const overlap = only(joined.events, 'step').at(-1)?.communication?.overlap ?? Number.NaN
  t.true(overlap > 0 && overlap < 1, `${overlap} of the averaging beside the backward pass`)
  t.is(only(alone.events, 'step')[0]?.communication, null)
  t.like((await jsonLines(double, 'timing.jsonl'))[0]?.['communication'], {
    share: step?.communication?.share,
  })
})

test('what a rank fails with is told with its rank', async (t) => {
  const out = await temporaryFolder(t)
  const run = train(tiny(out, { devices: 2, weights: '/no/such/weights.safetensors' }))
  const error = await failureOf(t, Promise.resolve(run))
  t.is(error.code, 'IO')
  t.regex(error.message, /^rank 0: .*\/no\/such\/weights\.safetensors/)
})
