import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { goneAfter } from '../fixtures-isolate.js'
import { launched, printed } from '../fixtures-ranks.js'
import { temporaryFolder } from '../temporary-folder.js'

test('the first failure ends the others, and all begin anew as often as allowed', async (t) => {
  const script = join(await temporaryFolder(t), 'script.mjs')
  await writeFile(
    script,
    `console.log('attempt', process.env.TORCHELASTIC_RESTART_COUNT, process.pid)
     if (process.env.RANK === '1') process.exit(7)
     setInterval(() => {}, 1000)`,
  )
  const { code, stdout, stderr } = await launched(['-n', '2', '--max-restarts', '1', script]).ended
  t.is(code, 7)
  t.regex(stderr, /rank 1 ended with exit code 7; starting anew, 1 of 1 restarts left/)
  const attempts = [...stdout.matchAll(/attempt (\d) (\d+)/g)]
  // A rank that is ended before its first line tells nothing.
  t.deepEqual(new Set(attempts.map(([, attempt]) => attempt)), new Set(['0', '1']))
  for (const [, , pid] of attempts) t.true((await goneAfter(Number(pid), 1000)) < 1000)
})

test('a rank that is gone ends the others at once, whoever still holds its streams', async (t) => {
  const script = join(await temporaryFolder(t), 'script.mjs')
  await writeFile(
    script,
    `import { spawn } from 'node:child_process'
     import { existsSync, writeFileSync } from 'node:fs'
     import { setTimeout as sleep } from 'node:timers/promises'
     const ready = process.argv[1] + '.ready'
     const forever = "process.on('SIGTERM', () => {}); console.log('lingers', process.pid); setInterval(() => {}, 1000)"
     if (process.env.RANK === '0') {
       process.on('SIGTERM', () => { console.log('asked'); process.exit() })
       setInterval(() => {}, 1000)
       writeFileSync(ready, '')
     } else {
       while (!existsSync(ready)) await sleep(20)
       const child = spawn(process.execPath, ['-e', forever], { stdio: ['ignore', 'pipe', 'inherit'] })
       child.stdout.once('data', (line) => {
         console.log(String(line))
         process.kill(process.pid, 'SIGKILL')
       })
     }`,
  )
  const child = launched(['-n', '2', script])
  const [, pid] = await printed(child, /\[1\] lingers (\d+)/)
  const began = Date.now()
  await printed(child, /\[0\] asked/)
  t.true(Date.now() - began < 3000)
  const { code, stderr } = await child.ended
  t.is(code, 137)
  t.regex(stderr, /rank 1 was ended by SIGKILL/)
  t.true((await goneAfter(Number(pid), 1000)) < 1000)
  t.true(Date.now() - began < 9000, `${Date.now() - began} ms`)
})

test('signals go on to the ranks, and decide the exit code', async (t) => {
  const script = join(await temporaryFolder(t), 'script.mjs')
  await writeFile(
    script,
    `for (const name of ['SIGINT', 'SIGTERM'])
       process.on(name, () => { console.log('heard', name); process.exit() })
     console.log('ready')
     setInterval(() => {}, 1000)`,
  )
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const child = launched(['-n', '2', script])
    await printed(child, /\[0\] ready[\s\S]*\[1\] ready|\[1\] ready[\s\S]*\[0\] ready/)
    child.process.kill(signal)
    const ended = await child.ended
    t.is(ended.code, code)
    t.is(ended.stdout.match(new RegExp(`heard ${signal}`, 'g'))?.length, 2)
  }
})

test('ranks end when their launcher is gone', async (t) => {
  const script = join(await temporaryFolder(t), 'script.mjs')
  await writeFile(script, `console.log('pid', process.pid)\nsetInterval(() => {}, 1000)`)
  const child = launched(['-n', '1', script])
  const [, pid] = await printed(child, /pid (\d+)/)
  child.process.kill('SIGKILL')
  await child.ended
  t.true((await goneAfter(Number(pid), 5000)) < 5000)
})
