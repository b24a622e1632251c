import { fork } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { NnclrError } from '../ts/errors.js'
import { JsonLines } from '../ts/run-directory/json-lines.js'
import { listCheckpoints, RunDirectory } from '../ts/run-directory.js'
import { temporaryFolder, touch } from './temporary-folder.js'

const FRESH = { resume: false, overwrite: false }
const RESUME = { resume: true, overwrite: false }
const OVERWRITE = { resume: false, overwrite: true }

async function opened(t: ExecutionContext, out: string, options = FRESH): Promise<RunDirectory> {
  const run = await RunDirectory.open(out, options)
  t.teardown(() => run.close())
  return run
}

async function refused(t: ExecutionContext, out: string, options = FRESH): Promise<NnclrError> {
  return t.throwsAsync(RunDirectory.open(out, options), { instanceOf: NnclrError })
}

/** A run that has ended, with two checkpoints. */
async function finishedRun(out: string): Promise<void> {
  const run = await RunDirectory.open(out, FRESH)
  await run.writeConfig({ epochs: 1 })
  run.metrics.append({ step: 1 })
  await touch(out, 'checkpoints/epoch-000001-step-00000010.safetensors')
  await touch(out, 'checkpoints/epoch-000002-step-00000020.safetensors')
  await run.close()
}

test('a missing directory is made, with its parents', async (t) => {
  const out = join(await temporaryFolder(t), 'runs/first')
  const run = await opened(t, out)
  t.false(run.resumed)
  await run.writeConfig({ epochs: 3, seed: 0 })
  t.like(await run.readConfig(), { format: 'nnclr-run', epochs: 3 })
  t.deepEqual((await readdir(out)).sort(), ['checkpoints', 'config.json', 'nnclr.lock'])
  await run.close()
  t.false((await readdir(out)).includes('nnclr.lock'))
})

test('a directory that is not empty needs resume or overwrite', async (t) => {
  const out = await temporaryFolder(t)
  await finishedRun(out)
  const error = await refused(t, out)
  t.is(error.code, 'CONFIG')
  t.is(error.subject, 'out')
  t.regex(error.message, /resume: true goes on, overwrite: true starts anew/)
})

test('resume goes on with what is there', async (t) => {
  const out = await temporaryFolder(t)
  await finishedRun(out)
  const run = await opened(t, out, RESUME)
  t.true(run.resumed)
  t.is((await run.checkpoints()).length, 2)
})

test('resume starts anew in an empty directory, also after a kill at the very start', async (t) => {
  const out = await temporaryFolder(t)
  await mkdir(join(out, 'checkpoints'))
  await writeFile(join(out, 'config.json.77.tmp'), '{')
  const run = await opened(t, out, RESUME)
  t.false(run.resumed)
})

test('resume refuses a directory that holds no run of ours', async (t) => {
  const out = await temporaryFolder(t)
  await touch(out, 'thesis.tex')
  t.regex((await refused(t, out, RESUME)).message, /holds no run to resume .*thesis\.tex/)
})

test('overwrite removes what a run wrote and nothing else, and says which', async (t) => {
  const out = await temporaryFolder(t)
  await finishedRun(out)
  await touch(out, 'notes.md', 'checkpoints/mine.safetensors', 'keep/metrics.jsonl')
  const run = await opened(t, out, OVERWRITE)
  t.false(run.resumed)
  t.deepEqual(
    run.removed.map((path) => path.slice(out.length + 1)),
    [
      'checkpoints/epoch-000002-step-00000020.safetensors',
      'checkpoints/epoch-000001-step-00000010.safetensors',
      'bad-images.jsonl',
      'metrics.jsonl',
      'timing.jsonl',
      'config.json',
    ].filter((name) => run.removed.includes(join(out, name))),
  )
  t.deepEqual(run.foreign, ['keep', 'notes.md'])
  t.deepEqual((await readdir(out)).sort(), ['checkpoints', 'keep', 'nnclr.lock', 'notes.md'])
  t.deepEqual(await readdir(join(out, 'checkpoints')), ['mine.safetensors'])
})

test("overwrite never removes another program's config.json or metrics.jsonl", async (t) => {
  for (const content of ['{"name":"theirs"}', 'no JSON', '[]']) {
    const out = await temporaryFolder(t)
    await writeFile(join(out, 'config.json'), content)
    await touch(out, 'metrics.jsonl')
    t.is((await refused(t, out, OVERWRITE)).code, 'CONFIG')
    t.deepEqual((await readdir(out)).sort(), ['config.json', 'metrics.jsonl'])
  }
})

test('overwrite in a directory of foreign files leaves them', async (t) => {
  const out = await temporaryFolder(t)
  await touch(out, 'notes.md')
  const run = await opened(t, out, OVERWRITE)
  t.deepEqual(run.removed, [])
  t.deepEqual(run.foreign, ['notes.md'])
})

test('a file in place of the directory, and no permission, are IO errors with the path', async (t) => {
  const base = await temporaryFolder(t)
  await touch(base, 'file')
  const inTheWay = await refused(t, join(base, 'file'))
  t.is(inTheWay.code, 'IO')
  t.true(inTheWay.message.includes(join(base, 'file')))
  const below = await refused(t, join(base, 'file/run'))
  t.is(below.code, 'IO')
})

test.serial('a directory without permission is an IO error', async (t) => {
  if (process.geteuid === undefined) {
    t.pass('no such rights here')
    return
  }
  const out = await temporaryFolder(t)
  await chmod(out, 0o555)
  const wasRoot = process.geteuid() === 0
  if (wasRoot) process.seteuid?.(65_534)
  try {
    const error = await refused(t, out)
    t.is(error.code, 'IO')
    t.regex(error.message, /permission denied/)
  } finally {
    if (wasRoot) process.seteuid?.(0)
    await chmod(out, 0o755)
  }
})

test('a full disk is an IO error with the path', async (t) => {
  try {
    await stat('/dev/full')
  } catch {
    t.pass('no /dev/full here')
    return
  }
  const lines = new JsonLines('/dev/full')
  lines.append({ a: 1 })
  const error = await t.throwsAsync(lines.flush(), { instanceOf: NnclrError })
  t.is(error.code, 'IO')
  t.regex(error.message, /cannot write \/dev\/full: no space left on the disk/)
  t.throws(() => lines.append({ a: 2 }), { is: error })
  await t.throwsAsync(lines.close(), { is: error })
})

test('checkpoints are listed the newest first, by step', async (t) => {
  const out = await temporaryFolder(t)
  const run = await opened(t, out)
  t.is(run.checkpointPath(3, 585), join(out, 'checkpoints/epoch-000003-step-00000585.safetensors'))
  const places = [
    [1, 9],
    [2, 100_000_000],
    [10, 700],
    [2, 10],
  ] as const
  for (const [epoch, step] of places) await writeFile(run.checkpointPath(epoch, step), '')
  await touch(out, 'checkpoints/best.safetensors', 'checkpoints/epoch-1-step-1.safetensors')
  const steps = (await run.checkpoints()).map(({ step }) => step)
  t.deepEqual(steps, [100_000_000, 700, 10, 9])
  t.deepEqual(await listCheckpoints(join(out, 'no')), [])
})

test('the oldest checkpoints beyond keep are removed', async (t) => {
  const run = await opened(t, await temporaryFolder(t))
  for (const step of [1, 2, 3]) await writeFile(run.checkpointPath(step, step), '')
  t.deepEqual(await run.removeOldCheckpoints(2), [run.checkpointPath(1, 1)])
  t.deepEqual(await run.removeOldCheckpoints(2), [])
  t.is((await run.checkpoints()).length, 2)
})

test('what a killed save left is removed on opening', async (t) => {
  const out = await temporaryFolder(t)
  await finishedRun(out)
  await touch(out, 'checkpoints/epoch-000003-step-00000030.safetensors.tmp-123')
  const run = await opened(t, out, RESUME)
  t.is((await readdir(join(out, 'checkpoints'))).length, 2)
  t.is((await run.checkpoints())[0]?.step, 20)
})

test('lines are written in order, and cut to a remembered position', async (t) => {
  const out = await temporaryFolder(t)
  const run = await opened(t, out)
  for (let step = 0; step < 1000; step++) run.metrics.append({ step })
  const position = await run.position()
  t.is(position.metrics, (await stat(run.metrics.path)).size)
  t.is(position.badImages, 0)
  run.metrics.append({ step: 'lost' })
  run.badImages.append({ path: 'a.png' })
  t.deepEqual(await run.truncate(position), [])
  run.metrics.append({ step: 1000 })
  await run.flush()
  const lines = (await readFile(run.metrics.path, 'utf8')).trimEnd().split('\n')
  t.deepEqual(
    lines.map((line) => JSON.parse(line).step),
    Array.from({ length: 1001 }, (_, i) => i),
  )
  t.is((await stat(run.badImages.path)).size, 0)
})

test('a file that lost lines is cut after its last whole one and named', async (t) => {
  const out = await temporaryFolder(t)
  const run = await opened(t, out)
  await writeFile(run.metrics.path, '{"step":1}\n{"st')
  const short = await run.truncate({ metrics: 100, timing: 0, badImages: 0 })
  t.deepEqual(short, [run.metrics.path])
  t.is(await readFile(run.metrics.path, 'utf8'), '{"step":1}\n')
})

test('a second run in the same directory is refused while the first lives', async (t) => {
  const out = await temporaryFolder(t)
  const first = await opened(t, out)
  const error = await refused(t, out, OVERWRITE)
  t.is(error.code, 'CONFIG')
  t.regex(error.message, new RegExp(`process ${process.pid} on .* is using this run directory`))
  await first.close()
  await t.notThrowsAsync(opened(t, out))
})

test('of many at once exactly one gets the directory', async (t) => {
  const out = await temporaryFolder(t)
  const tries = await Promise.allSettled(
    Array.from({ length: 20 }, () => RunDirectory.open(out, FRESH)),
  )
  const won = tries.filter((result) => result.status === 'fulfilled')
  t.is(won.length, 1)
  await won[0]?.value.close()
})

/** A lock as another process would have left it. */
async function leaveLock(out: string, owner: object): Promise<string> {
  const path = join(out, 'nnclr.lock')
  await writeFile(path, JSON.stringify(owner))
  return path
}

test('the lock of a process that is gone is taken over', async (t) => {
  const out = await temporaryFolder(t)
  const child = fork('-e', ['0'], { execArgv: [], stdio: 'ignore' })
  await once(child, 'exit')
  await leaveLock(out, { pid: child.pid, host: hostname(), id: 'old' })
  const run = await opened(t, out)
  t.false(run.resumed)
  t.deepEqual((await readdir(out)).sort(), ['checkpoints', 'nnclr.lock'])
})

test('the lock of an earlier process with our number is taken over', async (t) => {
  const out = await temporaryFolder(t)
  await leaveLock(out, { pid: process.pid, host: hostname(), id: 'before the restart' })
  await t.notThrowsAsync(opened(t, out))
})

test('the lock of a living process is respected', async (t) => {
  const out = await temporaryFolder(t)
  await leaveLock(out, { pid: process.ppid, host: hostname(), id: 'alive' })
  t.regex((await refused(t, out)).message, new RegExp(`process ${process.ppid} on`))
})

test('the lock of another machine, or a broken one, is respected until it is old', async (t) => {
  for (const owner of [{ pid: 1, host: 'elsewhere', id: 'x' }, { nonsense: true }]) {
    const out = await temporaryFolder(t)
    const path = await leaveLock(out, owner)
    t.regex((await refused(t, out)).message, /remove .*nnclr\.lock/)
    const old = new Date(Date.now() - 3_600_000)
    await utimes(path, old, old)
    await t.notThrowsAsync(opened(t, out))
  }
})
