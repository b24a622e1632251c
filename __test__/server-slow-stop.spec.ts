import { execFileSync } from 'node:child_process'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import test from 'ava'
import { writePictures } from './fixtures-pictures.js'
import { TINY } from './fixtures-runs.js'
import { ask, readEvents, startServer } from './fixtures-server.js'

/** Longer than the ten seconds that Fastify gives a plugin's hook by default. */
const HELD_MS = 11_000

const onUnix = process.platform === 'win32' ? test.skip : test

onUnix('a run that takes long to stop is waited for at SIGTERM', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  await writePictures(join(folder, 'data/pictures'), 24)
  const [data, runs] = [join(folder, 'data'), join(folder, 'runs')]
  const server = await startServer('--root', data, '--runs', runs)
  let training = 0
  try {
    const config = { ...TINY, data: 'pictures', epochs: 100_000, checkpoint: { everyEpochs: 0 } }
    const id = String((await ask(server, 'POST', '/runs', config)).body['id'])
    await readEvents(server, id, 0, (events) => events.some(({ event }) => event === 'step'))
    training = Number(
      execFileSync('pgrep', ['-P', String(server.process.pid)], { encoding: 'utf8' }),
    )
    const events = readEvents(server, id, 0)
    // A step that does not end.
    process.kill(training, 'SIGSTOP')
    const began = performance.now()
    server.process.kill('SIGTERM')
    await after(HELD_MS)
    process.kill(training, 'SIGCONT')
    const { code, stderr } = await server.ended
    t.deepEqual([code, stderr], [0, ''])
    t.true(performance.now() - began >= HELD_MS)
    const end = (await events).at(-1)
    const result = end?.data['result'] as { stopped: boolean; checkpoint: string }
    t.true(result.stopped)
    await t.notThrowsAsync(access(join(folder, result.checkpoint)))
  } finally {
    if (server.process.exitCode === null) server.process.kill('SIGKILL')
    try {
      if (training > 0) process.kill(training, 'SIGKILL')
    } catch {
      // It has ended, as it should.
    }
    await rm(folder, { recursive: true, force: true })
  }
})
