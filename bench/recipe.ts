// Which positives learn fastest at equal wall time? Each arm trains for the same number of steps with
// preset 'default', each seed in turn, and is scored by kNN on pictures held back from training, or on
// a test set. docs/recipes.md shows what came out.
//
//     node --import=@oxc-node/core/register bench/recipe.ts TRAIN [--test DIR] [--seconds 240]
//         [--steps N] [--seeds 0,1] [--arms plain,half,auto,simclr,random] [--set JSON] [--samples N]
//
// Nothing else may run meanwhile: the number of steps that fit is found by a trial of a few. With
// `--steps` it is given, and what it costs in time is to be measured apart.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type EpochEvent, openDataset, type TrainConfig, train } from '../ts/index.js'

const ARMS: Readonly<Record<string, Partial<TrainConfig>>> = {
  plain: { neighbourWarmup: 0 },
  half: { neighbourWarmup: 0.5 },
  auto: { neighbourWarmup: 'auto' },
  simclr: { neighbours: 'none' },
  random: { neighbours: 'random', neighbourWarmup: 0 },
}
/** Steps of the trial that count; the first are slower. */
const TRIAL_STEPS = 8
const WARM_UP_STEPS = 2
const HELD_BACK = 0.1

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    test: { type: 'string' },
    seconds: { type: 'string', default: '240' },
    steps: { type: 'string' },
    seeds: { type: 'string', default: '0,1' },
    arms: { type: 'string', default: Object.keys(ARMS).join() },
    set: { type: 'string', default: '{}' },
    samples: { type: 'string', default: '10000' },
  },
})
const data = positionals[0] ?? ''
const pictures = (await openDataset(data)).length * (values.test === undefined ? 1 - HELD_BACK : 1)
const samples = values.samples === 'all' ? 'all' : Number(values.samples)
const folder = await mkdtemp(join(tmpdir(), 'nnclr-recipe-'))

function config(arm: string, seed: number): TrainConfig {
  return {
    data,
    out: join(folder, `${arm}-${seed}`),
    validation: values.test ?? HELD_BACK,
    seed,
    evaluation: { every: 0, samples },
    checkpoint: { everyEpochs: 0 },
    // The arms tell what a positive is worth alone, through p; `--set` may mix.
    neighbourWeight: 1,
    viewLoss: 'predicted',
    ...(JSON.parse(values.set) as Partial<TrainConfig>),
    ...ARMS[arm],
  }
}

/** Pictures a second, from the middle of a few steps. */
async function speed(): Promise<number> {
  const stop = new AbortController()
  const trial = { ...config('plain', 0), out: join(folder, 'trial') }
  const run = train({ ...trial, logEverySteps: 1, signal: stop.signal })
  const speeds: number[] = []
  for await (const event of run) {
    if (event.type !== 'step' || event.step <= WARM_UP_STEPS) continue
    speeds.push(event.imagesPerSecond)
    if (speeds.length === TRIAL_STEPS) stop.abort()
  }
  return speeds.sort((a, b) => a - b)[Math.floor(speeds.length / 2)] ?? 0
}

const BATCH = 256
const trained =
  values.steps === undefined
    ? (await speed()) * Number(values.seconds)
    : Number(values.steps) * BATCH
const passes = trained / pictures
const epochs = Math.max(1, Math.ceil(passes))
// A share of the pictures makes up for what is not a whole epoch.
const subset = Math.min(1, passes / epochs)
console.log(`${epochs} epochs of ${(subset * 100).toFixed(0)} %`)
for (const seed of values.seeds.split(',').map(Number)) {
  for (const arm of values.arms.split(',')) {
    const run = train({
      ...config(arm, seed),
      epochs,
      subset,
      evaluation: { every: epochs, samples },
    })
    let [last, seconds]: [EpochEvent | null, number] = [null, 0]
    for await (const event of run) {
      if (event.type === 'warning') console.log(`  ${event.message}`)
      if (event.type !== 'epoch') continue
      last = event
      seconds += event.seconds
      const { epoch, loss, neighbourAgreement, sameClassRate, viewSimilarity } = event
      console.log(
        `  ${arm} ${seed} epoch ${epoch}: loss ${loss.toFixed(3)}, agreement ${neighbourAgreement.toFixed(3)}, same class ${sameClassRate?.toFixed(3)}, views ${viewSimilarity.toFixed(2)}, similarity ${event.neighbourSimilarity.toFixed(2)}`,
      )
    }
    const { knnTop1 } = await run
    const score = (100 * (knnTop1 ?? 0)).toFixed(1)
    console.log(
      `${arm}, seed ${seed}: kNN ${score} % after ${seconds.toFixed(0)} s, ${last?.step} steps`,
    )
  }
}
await rm(folder, { recursive: true })
