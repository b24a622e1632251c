import test from 'ava'
import { resolveConfig } from '../ts/config.js'
import { PRESET_NAMES, presets } from '../ts/presets.js'

test('every preset is complete and passes the checks a caller passes', (t) => {
  for (const preset of PRESET_NAMES) {
    const config = resolveConfig({ data: 'a', out: 'b', preset, ...presets[preset] })
    t.deepEqual(config, { ...config, ...presets[preset] })
  }
})

test('presets share no object, so that changing a resolved configuration changes no preset', (t) => {
  const config = resolveConfig({ data: 'a', out: 'b' })
  config.transform.cropScale[0] = 0.9
  config.background[0] = 1
  config.evaluation.k = 1
  const again = resolveConfig({ data: 'a', out: 'b' })
  t.is(again.transform.cropScale[0], 0.2)
  t.is(again.background[0], 255)
  t.is(again.evaluation.k, 200)
})

test("preset 'lightly' is the reference program", (t) => {
  const config = resolveConfig({ data: 'a', out: 'b', preset: 'lightly' })
  t.like(config, {
    backbone: 'resnet18',
    stem: 'imagenet',
    imageSize: 32,
    batchSize: 256,
    optimizer: 'sgd',
    lr: 0.06,
    schedule: 'constant',
    warmupEpochs: 0,
    momentum: 0,
    weightDecay: 0,
    loss: 'nt-xent',
    temperature: 0.5,
    neighbourWarmup: 0,
    neighbourWeight: 1,
    viewLoss: 'predicted',
    memoryBank: { size: 4096, warmup: 'random' },
    projectionHead: { hidden: 512, out: 128 },
    predictionHead: { hidden: 512 },
  })
  t.like(config.transform, { jitterStrength: 1, brightness: 0.8, hue: 0.2, blur: 0.5, rotation: 0 })
  t.deepEqual(config.transform.cropScale, [0.08, 1])
})

test('neighbours are the only positives where a namesake says so, and have half of it by default', (t) => {
  const weights = PRESET_NAMES.map((name) => {
    const { neighbourWeight, viewLoss } = presets[name]
    return [name, [neighbourWeight, viewLoss]]
  })
  t.deepEqual(Object.fromEntries(weights), {
    default: [0.5, 'simclr'],
    lightly: [1, 'predicted'],
    paper: [1, 'predicted'],
    'solo-learn': [1, 'predicted'],
  })
})
