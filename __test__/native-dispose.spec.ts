import test, { type ExecutionContext } from 'ava'
import { fitToSet, resolveConfig } from '../ts/config.js'
import { openDataset } from '../ts/data/open-dataset.js'
import { NnclrError } from '../ts/errors.js'
import { openPictures, viewOptions } from '../ts/loader.js'
import { type Batch, type Loader, native, type PictureSet, type Session } from '../ts/native.js'
import { presets } from '../ts/presets.js'
import { createSession } from '../ts/session.js'
import { samples } from './fixtures-pictures.js'
import { tiny } from './fixtures-runs.js'

/** Whatever way a call fails: thrown or rejected. */
async function isDisposed(t: ExecutionContext, call: () => unknown, what: string): Promise<void> {
  try {
    await call()
    t.fail(`${what} worked after dispose`)
  } catch (error) {
    const known = NnclrError.from(error)
    t.true(known instanceof NnclrError && known.code === 'DISPOSED', `${what}: ${known.message}`)
  }
}

interface Handles {
  readonly set: PictureSet
  readonly loader: Loader
  readonly batch: Batch
  readonly session: Session
}

async function handles(): Promise<Handles> {
  const set = openPictures(await openDataset(samples(8)), presets.default)
  const loader = new native.Loader(set, {
    views: viewOptions(presets.default.transform),
    size: 16,
    seed: 0,
    workers: 1,
    onBadImage: 'error',
  })
  const batch = await loader.load(Uint32Array.of(0, 1, 2, 3), 0)
  const config = fitToSet(resolveConfig(tiny('nowhere', { momentum: 0 })), 8)
  return { set, loader, batch, session: await createSession(config) }
}

test('every call on a disposed handle is refused with DISPOSED, and the process lives', async (t) => {
  const { set, loader, batch, session } = await handles()
  const index = new native.FeatureIndex(4)
  for (const handle of [batch, session, loader, set, index]) {
    handle.dispose()
    handle.dispose()
  }
  const step = { lr: 0.1, positive: 'bank' }
  await isDisposed(t, () => set.length, 'set.length')
  await isDisposed(t, () => loader.load(Uint32Array.of(0), 0), 'loader.load')
  await isDisposed(t, () => batch.pixels(0), 'batch.pixels')
  await isDisposed(t, () => session.step(batch, step), 'session.step')
  await isDisposed(t, () => session.embed(batch), 'session.embed')
  await isDisposed(t, () => session.save('/tmp/x', ''), 'session.save')
  await isDisposed(t, () => session.load('/tmp/x'), 'session.load')
  await isDisposed(t, () => session.exportBackbone('/tmp/x', ''), 'session.exportBackbone')
  await isDisposed(t, () => session.importBackbone('/tmp/x'), 'session.importBackbone')
  await isDisposed(t, () => index.add(new Float32Array(4), null), 'index.add')
  await isDisposed(t, () => index.search(new Float32Array(4), 1), 'index.search')
  const vote = { k: 1, temperature: 1, classes: 1 }
  await isDisposed(t, () => index.classify(new Float32Array(4), vote), 'index.classify')
})

test('a disposed batch is refused by a session that lives', async (t) => {
  const { batch, session, loader } = await handles()
  batch.dispose()
  await isDisposed(t, () => session.step(batch, { lr: 0.1, positive: 'bank' }), 'session.step')
  await isDisposed(t, () => session.embed(batch), 'session.embed')
  loader.dispose()
  session.dispose()
})

test('a step that is under way when its session goes ends well or with a code', async (t) => {
  const { batch, session, loader } = await handles()
  const step = session.step(batch, { lr: 0.1, positive: 'bank' })
  session.dispose()
  loader.dispose()
  batch.dispose()
  const numbers = await step.catch((error: unknown) => NnclrError.from(error))
  const isCoded = numbers instanceof NnclrError && numbers.code === 'DISPOSED'
  t.true(isCoded || (!(numbers instanceof Error) && Number.isFinite(numbers.loss)))
})
