import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { listCheckpoints } from '../../ts/run-directory.js'
import { type Child, watched } from '../fixtures-child.js'
import { isQuiet, launched, marked, printed, rankOf } from '../fixtures-ranks.js'
import { differing } from '../fixtures-runs.js'
import { temporaryFolder } from '../temporary-folder.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** torchrun of the reference's environment, see bench/peer. */
const TORCHRUN = join(process.env['NNCLR_PEER'] ?? '', 'bin', 'torchrun')
const withTorchrun =
  process.env['NNCLR_PEER'] !== undefined && existsSync(TORCHRUN) ? test.serial : test.serial.skip

/** A script that trains; goes on where an attempt before it was ended. */
async function script(t: ExecutionContext): Promise<string> {
  const path = join(await temporaryFolder(t), 'train.ts')
  await writeFile(
    path,
    `import { train } from '${ROOT}ts/index.js'
     import { tiny } from '${ROOT}__test__/fixtures-runs.js'
     const [out] = process.argv.slice(2) as [string]
     const changes = { epochs: 12, resume: true, evaluation: { every: 0 } }
     for await (const event of train(tiny(out, changes)))
       if (event.type === 'checkpoint') console.log('saved', event.step)
     console.log('done')`,
  )
  return path
}

function torchrun(words: readonly string[], path: string, out: string): Child {
  const node = [process.execPath, '--import=@oxc-node/core/register', path, out]
  const child = spawn(TORCHRUN, [...words, '--no-python', '--nproc-per-node', '2', ...node], {
    cwd: ROOT,
    env: { ...process.env, ...marked(out) },
  })
  return watched(child)
}

/** The newest checkpoint of a run that nothing disturbed. */
async function undisturbed(t: ExecutionContext, path: string): Promise<string> {
  const out = await temporaryFolder(t)
  const { code, stderr } = await launched(['-n', '2', path, out]).ended
  t.is(code, 0, stderr)
  return newest(out)
}

async function newest(out: string): Promise<string> {
  return (await listCheckpoints(out))[0]?.path ?? ''
}

test.serial(
  'nnclr launch restarts a training after a killed rank, with the same result',
  async (t) => {
    const [path, out] = [await script(t), await temporaryFolder(t)]
    process.env['NNCLR_TEST_RUN'] = out
    t.teardown(() => delete process.env['NNCLR_TEST_RUN'])
    const child = launched(['-n', '2', '--max-restarts', '1', path, out], marked(out))
    await printed(child, /saved 6/)
    process.kill(await rankOf(out, 1), 'SIGKILL')
    const { code, stdout, stderr } = await child.ended
    t.is(code, 0, stderr)
    t.regex(stderr, /rank 1 was ended by SIGKILL; starting anew/)
    t.is(stdout.match(/done/g)?.length, 2)
    t.true(await isQuiet(out))
    t.deepEqual(await differing(await newest(out), await undisturbed(t, path)), [])
  },
)

withTorchrun('torchrun starts ranks that join', async (t) => {
  const [path, out] = [await script(t), await temporaryFolder(t)]
  const { code, stdout, stderr } = await torchrun([], path, out).ended
  t.is(code, 0, stderr)
  t.is(stdout.match(/done/g)?.length, 2)
  t.is(stdout.match(/saved 24/g)?.length, 1, 'rank 0 alone tells')
  t.true((await readFile(join(out, 'config.json'), 'utf8')).includes('"ranks": 2'))
  t.deepEqual(await differing(await newest(out), await undisturbed(t, path)), [])
})

withTorchrun('torchrun restarts after a killed rank, with the same result', async (t) => {
  const [path, out] = [await script(t), await temporaryFolder(t)]
  const child = torchrun(['--standalone', '--max-restarts', '1'], path, out)
  await printed(child, /saved 6/)
  process.kill(await rankOf(out, 1), 'SIGKILL')
  const { code, stdout, stderr } = await child.ended
  t.is(code, 0, stderr)
  t.is(stdout.match(/done/g)?.length, 2)
  t.true(await isQuiet(out, 2000))
  t.deepEqual(await differing(await newest(out), await undisturbed(t, path)), [])
})
