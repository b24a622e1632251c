/** Whose threads compute, and how long they wait awake: read by libtorch when it is loaded, once a process. */

import { spawn } from 'node:child_process'
import test, { type ExecutionContext } from 'ava'
import { ROOT, watched, wordsOf } from './fixtures-child.js'
import { temporaryFolder } from './temporary-folder.js'

const TRAINED = 'await train(tiny(out, { epochs: 1, threads: 2, checkpoint: { everyEpochs: 0 } }))'
const LOADED = "const { nativeInfo } = (await import('./ts/native.js')).native; await nativeInfo()"
const SAYS = `
import { readdirSync, readFileSync } from 'node:fs'
const tasks = readdirSync('/proc/self/task')
const names = tasks.map((task) => readFileSync('/proc/self/task/' + task + '/comm', 'utf8').trim())
console.log(names.filter((name) => name.startsWith('nnclr-math')).join())`

interface Told {
  readonly policy: string | undefined
  readonly spins: string | undefined
  /** Threads of a pool beside libtorch's. */
  readonly others: string
}

/** What OpenMP read in a process with these variables, and no others of its own, and who worked there. */
async function told(
  t: ExecutionContext,
  work: string,
  variables: NodeJS.ProcessEnv,
): Promise<Told> {
  const { OMP_WAIT_POLICY: _, GOMP_SPINCOUNT: __, ...env } = process.env
  const words = wordsOf(`${work}\n${SAYS}`, await temporaryFolder(t))
  const child = spawn(process.execPath, words, {
    cwd: ROOT,
    // It then writes down what it read.
    env: { ...env, ...variables, OMP_DISPLAY_ENV: 'verbose' },
  })
  const { code, stdout, stderr } = await watched(child).ended
  t.is(code, 0, stderr)
  const read = (name: string) => new RegExp(`${name} = '(\\w+)'`).exec(stderr)?.[1]
  return {
    policy: read('OMP_WAIT_POLICY'),
    spins: read('GOMP_SPINCOUNT'),
    others: stdout.trim(),
  }
}

const onLinux = process.platform === 'linux' ? test : test.skip

onLinux('waiting threads sleep soon, and loops of our own start no others', async (t) => {
  t.deepEqual(await told(t, TRAINED, {}), { policy: 'PASSIVE', spins: '10000', others: '' })
})

onLinux('what is set before counts', async (t) => {
  const active = await told(t, LOADED, { OMP_WAIT_POLICY: 'active' })
  t.is(active.policy, 'ACTIVE')
  t.not(active.spins, '10000')
  t.like(await told(t, LOADED, { GOMP_SPINCOUNT: '7' }), { policy: 'PASSIVE', spins: '7' })
})
