import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { encodePng } from '../ts/report/png.js'
import { temporaryFolder } from './temporary-folder.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SMALLEST = ['--image-size', '32', '--stem', 'imagenet', '--batch-size', '8', '--threads', '1']

interface Program {
  readonly child: ChildProcess
  /** Resolves when standard output holds this text. */
  said(text: string): Promise<void>
  readonly done: Promise<{ code: number | null; stdout: string; stderr: string }>
}

/** The program as a process of its own. */
function nnclr(...argv: string[]): Program {
  const child = spawn(
    process.execPath,
    ['--import', '@oxc-node/core/register', 'ts/cli.ts', ...argv],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let [stdout, stderr] = ['', '']
  const waiting = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    for (const wake of waiting) wake()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const done = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
  const said = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (stdout.includes(text)) resolve()
      }
      waiting.add(look)
      look()
      void done.then(() => reject(new Error(`it ended without saying ${text}: ${stderr}`)))
    })
  return { child, said, done }
}

/** A folder of two classes of small pictures, dark and light. */
async function pictures(t: ExecutionContext): Promise<string> {
  const folder = await temporaryFolder(t)
  for (const [name, base] of [
    ['dark', 0],
    ['light', 180],
  ] as const) {
    await mkdir(join(folder, name))
    for (let i = 0; i < 10; i++) {
      const data = Uint8Array.from({ length: 3 * 16 * 16 }, (_, at) => base + ((at * (i + 1)) % 70))
      await writeFile(join(folder, name, `${i}.png`), encodePng({ width: 16, height: 16, data }))
    }
  }
  return folder
}

test.serial('train, knn and embed, one after the other', async (t) => {
  const data = await pictures(t)
  const out = join(await temporaryFolder(t), 'run')
  const training = await nnclr(
    'train',
    data,
    '--out',
    out,
    '--epochs',
    '2',
    '--validation',
    '0.2',
    ...SMALLEST,
  ).done
  t.is(training.code, 0, training.stderr)
  t.regex(training.stdout, /^training resnet10 on 16 pictures of 32 px: 2 epochs, 4 steps, on cpu/)
  t.regex(training.stdout, /epoch 2\/2 · loss \d+\.\d+ · .*same class \d+ %/)
  t.regex(training.stdout, /\n {2}kNN top-1 \d+\.\d %/)
  t.true((await readdir(out)).includes('config.json'))

  const again = await nnclr('train', data, '--out', out, '--epochs', '2', ...SMALLEST).done
  t.is(again.code, 2, 'a directory in use is a wrong setting')
  t.regex(again.stderr, /is not empty; --resume goes on, --overwrite starts anew/)

  const score = await nnclr('knn', data, '--validation', '0.2', '-c', out, '--k', '3', '--json')
    .done
  t.is(score.code, 0, score.stderr)
  t.like(JSON.parse(score.stdout), { references: 16, queries: 4, k: 3 })

  const features = join(out, 'features.jsonl')
  t.is((await nnclr('embed', data, '-c', out, '-o', features).done).code, 0)
  const rows = (await readFile(features, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.is(rows.length, 20)
  t.is(rows[0].features.length, 512)
  t.is(rows[0].label, 'dark')
})

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test.serial(`${signal} stops with a checkpoint, and --resume goes on from it`, async (t) => {
    const data = await pictures(t)
    const out = join(await temporaryFolder(t), 'run')
    const argv = [
      'train',
      data,
      '--out',
      out,
      '--json',
      '--log-every-steps',
      '1',
      '--checkpoint.every-epochs',
      '0',
    ]
    const first = nnclr(...argv, '--epochs', '100000', ...SMALLEST)
    await first.said('"type":"step"')
    first.child.kill(signal)
    const { code: exit, stdout, stderr } = await first.done
    t.is(exit, code, stderr)
    t.regex(stderr, new RegExp(`^${signal}: stopping after this step with a checkpoint`))
    const { type, result } = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
    t.is(type, 'end')
    t.true(result.stopped)
    t.is((await readdir(join(out, 'checkpoints'))).length, 1)

    const epochs = String(result.epochs + 1)
    const second = await nnclr(...argv, '--resume', '--epochs', epochs, ...SMALLEST).done
    t.is(second.code, 0, second.stderr)
    t.like(JSON.parse(second.stdout.split('\n')[0] ?? ''), { resumedAt: result.steps })
  })
}

test.serial('a second SIGINT ends it at once', async (t) => {
  const out = join(await temporaryFolder(t), 'run')
  const run = nnclr(
    'train',
    await pictures(t),
    '--out',
    out,
    '--epochs',
    '100000',
    '--json',
    '--log-every-steps',
    '1',
    ...SMALLEST,
  )
  await run.said('"type":"step"')
  run.child.kill('SIGINT')
  run.child.kill('SIGINT')
  t.is((await run.done).code, 130)
})

test.serial('a reader that goes away ends training quietly, with a checkpoint', async (t) => {
  const out = join(await temporaryFolder(t), 'run')
  const run = nnclr(
    'train',
    await pictures(t),
    '--out',
    out,
    '--epochs',
    '100000',
    '--json',
    '--log-every-steps',
    '1',
    ...SMALLEST,
  )
  await run.said('"type":"step"')
  run.child.stdout?.destroy()
  const { code, stderr } = await run.done
  t.is(code, 141)
  t.is(stderr, '')
  t.is((await readdir(join(out, 'checkpoints'))).length, 1)
})

test.serial('a missing folder is one line, without a stack', async (t) => {
  const out = join(await temporaryFolder(t), 'run')
  const { code, stdout, stderr } = await nnclr('train', '/nowhere/photos', '--out', out).done
  t.is(code, 1)
  t.is(stdout, '')
  t.is(stderr, 'error IO: the folder /nowhere/photos does not exist\n')
})

test.serial('info loads the native library and ends cleanly', async (t) => {
  const { code, stdout } = await nnclr('info', '--json').done
  t.is(code, 0)
  t.like(JSON.parse(stdout), { torch: '2.13.0', node: process.versions.node })
})
