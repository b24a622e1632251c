import { access, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import test from 'ava'
import { writePictures } from './fixtures-pictures.js'
import { TINY } from './fixtures-runs.js'
import { ask, readEvents, startServer, type Told } from './fixtures-server.js'

/** Longer than the ten seconds that Fastify gives a plugin's hook by default. */
const HELD_MS = 11_000

/** Child processes, by the system's list of all. */
async function childrenOf(parent: number): Promise<number[]> {
  const numbers = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const stats = numbers.map((name) => readFile(`/proc/${name}/stat`, 'utf8').catch(() => ''))
  return (await Promise.all(stats)).flatMap((stat) => {
    const [, id, above] = /^(\d+) \(.*\) \S (\d+)/s.exec(stat) ?? []
    return Number(above) === parent ? [Number(id)] : []
  })
}

const onLinux = process.platform === 'linux' ? test : test.skip

onLinux('a run that takes long to stop is waited for at SIGTERM', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'nnclr-test-'))
  await writePictures(join(folder, 'data/pictures'), 24)
  const [data, runs] = [join(folder, 'data'), join(folder, 'runs')]
  const server = await startServer('--root', data, '--runs', runs)
  let training = 0
  try {
    const config = { ...TINY, data: 'pictures', epochs: 100_000, checkpoint: { everyEpochs: 0 } }
    const id = String((await ask(server, 'POST', '/runs', config)).body['id'])
    await readEvents(server, id, 0, (events) => events.some(({ event }) => event === 'step'))
    const children = await childrenOf(server.process.pid ?? 0)
    t.is(children.length, 1)
    training = children[0] ?? 0
    let events: Promise<Told[]> = Promise.resolve([])
    await new Promise<void>((resolve) => {
      events = readEvents(server, id, 0, () => {
        resolve()
        return false
      })
    })
    // A step that does not end.
    process.kill(training, 'SIGSTOP')
    server.process.kill('SIGTERM')
    await after(HELD_MS)
    t.is(server.process.exitCode, null)
    process.kill(training, 'SIGCONT')
    const { code, stderr } = await server.ended
    t.deepEqual([code, stderr], [0, ''])
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
