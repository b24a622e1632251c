// Two machines, as far as one can be two: network namespaces joined by a cable, each with addresses of its
// own. Needs Linux, `ip` and the right to make them.

import { execFileSync, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { type Child, watched } from '../fixtures-child.js'
import { temporaryFolder } from '../temporary-folder.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Addresses of a network that no machine has. */
const HOSTS = [
  { name: `nnclr-a-${process.pid}`, cable: `na${process.pid}`, address: '10.77.0.1' },
  { name: `nnclr-b-${process.pid}`, cable: `nb${process.pid}`, address: '10.77.0.2' },
] as const

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: 'pipe' })
}

/** Whether the two hosts stand. */
function connect(): boolean {
  const [a, b] = HOSTS
  try {
    for (const { name } of HOSTS) ip('netns', 'add', name)
    ip('link', 'add', a.cable, 'type', 'veth', 'peer', 'name', b.cable)
    for (const { name, cable, address } of HOSTS) {
      ip('link', 'set', cable, 'netns', name)
      ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', cable)
      ip('-n', name, 'link', 'set', 'lo', 'up')
      ip('-n', name, 'link', 'set', cable, 'up')
    }
    return true
  } catch {
    disconnect()
    return false
  }
}

/** The cable goes with its ends. */
function disconnect(): void {
  for (const { name } of HOSTS) {
    try {
      ip('netns', 'del', name)
    } catch {
      // It was not made.
    }
  }
}

const isPermitted = connect()
if (!isPermitted) console.log('# network namespaces are not permitted here')
test.after.always(disconnect)
const onTwoHosts = isPermitted ? test.serial : test.serial.skip

/** `nnclr launch` of one rank on a host. */
function launchOn(host: number, words: readonly string[]): Child {
  const { name } = HOSTS[host] as (typeof HOSTS)[number]
  const node = [process.execPath, '--import=@oxc-node/core/register', join(ROOT, 'ts/cli.ts')]
  const place = ['--nnodes', '2', '--node-rank', String(host), '--master-addr', HOSTS[0].address]
  const launch = ['launch', '-n', '1', ...place, '--master-port', '29500', ...words]
  return watched(spawn('ip', ['netns', 'exec', name, ...node, ...launch], { cwd: ROOT }))
}

onTwoHosts('two hosts meet by address and talk over the cable', async (t) => {
  const script = join(await temporaryFolder(t), 'train.ts')
  await writeFile(
    script,
    `import { train } from '${ROOT}ts/index.js'
     import { tiny } from '${ROOT}__test__/fixtures-runs.js'
     const [out] = process.argv.slice(2) as [string]
     console.log(JSON.stringify(await train(tiny(out, { epochs: 2, evaluation: { every: 0 } }))))`,
  )
  const out = await temporaryFolder(t)
  const ends = await Promise.all([0, 1].map((host) => launchOn(host, [script, out]).ended))
  const losses = ends.map(({ code, stdout, stderr }) => {
    t.is(code, 0, stderr)
    return (JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { loss: number }).loss
  })
  t.true(Number.isFinite(losses[0]))
  t.is(losses[1], losses[0])
})

onTwoHosts('a network interface that is not there is refused by name', async (t) => {
  const script = join(await temporaryFolder(t), 'join.ts')
  await writeFile(
    script,
    `import { initProcessGroup } from '${ROOT}ts/index.js'
     await initProcessGroup({ joinTimeoutSeconds: 5 })`,
  )
  const ends = await Promise.all(
    [0, 1].map((host) => {
      process.env['GLOO_SOCKET_IFNAME'] = 'no-such-if'
      return launchOn(host, [script]).ended
    }),
  )
  delete process.env['GLOO_SOCKET_IFNAME']
  for (const { code, stderr } of ends) {
    t.not(code, 0)
    t.regex(stderr, /no-such-if/)
  }
})
