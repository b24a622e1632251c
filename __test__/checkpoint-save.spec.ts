import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { type TrainConfig, train } from '../ts/index.js'
import { runWithLimit } from './fixtures-child.js'
import { samples } from './fixtures-pictures.js'
import { only, tiny, told } from './fixtures-runs.js'
import { temporaryFolder } from './temporary-folder.js'

/** One step an epoch; no momentum, for files of half the size. */
const ONE: Partial<TrainConfig> = { epochs: 1, data: samples(8), momentum: 0 }

/** Every file's content by name. */
async function contents(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort()
  const read = async (name: string) => [name, await readFile(join(folder, name), 'base64')]
  return Object.fromEntries(await Promise.all(names.map(read))) as Record<string, string>
}

test('the newest checkpoints are kept, the others removed', async (t) => {
  const out = await temporaryFolder(t)
  const checkpoint = { keep: 2, everySteps: 1 }
  const { events } = await told(tiny(out, { ...ONE, epochs: 2, data: samples(16), checkpoint }))
  const saved = only(events, 'checkpoint').map(({ epoch, step }) => [epoch, step])
  t.deepEqual(saved, [
    [0, 1],
    [1, 2],
    [1, 3],
    [2, 4],
  ])
  t.deepEqual((await readdir(join(out, 'checkpoints'))).sort(), [
    'epoch-000001-step-00000003.safetensors',
    'epoch-000002-step-00000004.safetensors',
  ])
})

test('without everyEpochs and everySteps one is written at the end', async (t) => {
  const out = await temporaryFolder(t)
  const { events } = await told(tiny(out, { ...ONE, epochs: 2, checkpoint: { everyEpochs: 0 } }))
  t.deepEqual(
    only(events, 'checkpoint').map(({ step }) => step),
    [2],
  )
})

test('a full disk is an IO error that names the file, and the older checkpoint stays', async (t) => {
  const out = await temporaryFolder(t)
  await train(tiny(out, ONE))
  const before = await contents(join(out, 'checkpoints'))
  const program = `
    const changes = { epochs: 2, data: samples(8), momentum: 0, resume: true }
    await train(tiny(out, changes)).catch(({ name, code, subject, message }) => {
      console.log(JSON.stringify({ name, code, subject, message }))
    })`
  // More than the growing files, less than a checkpoint.
  const { code, stdout, stderr } = await runWithLimit(program, out, 1024)
  t.is(code, 0, stderr)
  const error = JSON.parse(stdout)
  t.like(error, { name: 'NnclrError', code: 'IO' })
  t.true(error.message.includes(join(out, 'checkpoints')), error.message)
  t.deepEqual(await contents(join(out, 'checkpoints')), before)
  const { result } = await told(tiny(out, { ...ONE, epochs: 2, resume: true }))
  t.like(result, { epochs: 2, steps: 2 })
})

test('a checkpoint folder that cannot be written to is an IO error that loses nothing', async (t) => {
  const out = await temporaryFolder(t)
  const [folder, aside] = [join(out, 'checkpoints'), join(out, 'aside')]
  let before = {}
  const run = train(tiny(out, { ...ONE, epochs: 3 }))
  const listening = (async () => {
    for await (const { type } of run) {
      if (type !== 'checkpoint') continue
      before = await contents(folder)
      // A file in the folder's place refuses root too.
      await rename(folder, aside)
      await writeFile(folder, '')
    }
  })()
  const error = await t.throwsAsync(listening)
  t.is(await t.throwsAsync(run), error)
  t.like(error, { name: 'NnclrError', code: 'IO' })
  t.true(error?.message.includes(folder), error?.message)
  t.is(Object.keys(before).length, 1)
  t.deepEqual(await contents(aside), before)
})
