import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { run } from './fixtures-child.js'
import { temporaryFolder } from './temporary-folder.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

interface Said {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** `nnclr cuda` as a process, with folders of its own for choice and data. */
function cuda(
  home: string,
  words: readonly string[],
  env: Record<string, string> = {},
): Promise<Said> {
  const { NNCLR_CUDA: _, ...inherited } = process.env
  const argv = ['--import=@oxc-node/core/register', 'ts/cli.ts', ...words]
  const folders = { XDG_CONFIG_HOME: join(home, 'config'), XDG_DATA_HOME: join(home, 'data') }
  const options = { cwd: ROOT, env: { ...inherited, ...folders, ...env } }
  return new Promise((resolve) => {
    execFile(process.execPath, argv, options, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    )
  })
}

/** A torch whose CUDA library is a text, so that opening it fails as a damaged file does. */
async function damagedTorch(t: ExecutionContext, version: string): Promise<string> {
  const torch = join(await temporaryFolder(t), 'torch')
  await mkdir(join(torch, 'lib'), { recursive: true })
  await writeFile(join(torch, 'lib', 'libtorch_cuda.so'), 'not a library')
  await writeFile(join(torch, 'version.py'), `__version__ = '${version}'\n`)
  return torch
}

test.serial('what `use` chose is what the next process opens, until it is forgotten', async (t) => {
  const home = await temporaryFolder(t)
  const torch = await damagedTorch(t, '2.13.0+cu130')
  const used = await cuda(home, ['cuda', 'use', torch])
  t.is(used.code, 0, used.stderr)
  t.true(used.stdout.startsWith('torch 2.13.0'))
  const status = await cuda(home, ['cuda', 'status', '--json'])
  t.is(status.code, 0, status.stderr)
  const found = JSON.parse(status.stdout)
  t.like(found, { available: false, state: 'folder', folder: join(torch, 'lib') })
  t.regex(found.reason, /cannot open .*libtorch_cuda\.so: .*(file too short|invalid ELF header)/)
  t.regex((await cuda(home, ['info'])).stdout, /^cuda +no: cannot open /m)
  t.is((await cuda(home, ['cuda', 'forget'])).code, 0)
  t.like(JSON.parse((await cuda(home, ['cuda', 'status', '--json'])).stdout), { folder: null })
})

test.serial('NNCLR_CUDA of another version is told and never opened', async (t) => {
  const home = await temporaryFolder(t)
  const torch = await damagedTorch(t, '2.9.0')
  const status = await cuda(home, ['cuda', 'status', '--json'], { NNCLR_CUDA: torch })
  const found = JSON.parse(status.stdout)
  t.is(found.state, 'version')
  t.regex(found.reason, /^NNCLR_CUDA: .* is of torch 2\.9\.0, and nnclr needs exactly 2\.13\.0/)
  const refused = await cuda(home, ['cuda', 'use', torch])
  t.is(refused.code, 2)
  t.regex(refused.stderr, /DIR: got .* is of torch 2\.9\.0/)
})

test.serial('the words after `cuda` are checked, and --dry-run lists every wheel', async (t) => {
  const home = await temporaryFolder(t)
  const wrong = await cuda(home, ['cuda', 'instal'])
  t.is(wrong.code, 2)
  t.regex(wrong.stderr, /did you mean 'install'\?/)
  t.is((await cuda(home, ['cuda', 'use'])).code, 2)
  if (`${process.platform}-${process.arch}` !== 'linux-x64') return
  const dry = JSON.parse((await cuda(home, ['cuda', 'install', '--dry-run', '--json'])).stdout)
  t.like(dry, { done: false, folder: join(home, 'data/nnclr/cuda-2.13.0-linux-x64') })
  t.is(dry.wheels.length, 15)
  t.is(
    dry.bytes,
    dry.wheels.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0),
  )
})

test.serial('a training on auto warns once why the chosen CUDA part is not used', async (t) => {
  const torch = await damagedTorch(t, '2.13.0')
  const program = `
    const warnings = []
    const run = train(tiny(out, { epochs: 1, device: 'auto' }))
    for await (const event of run) if (event.type === 'warning') warnings.push(event.message)
    console.log(JSON.stringify(warnings))`
  process.env['NNCLR_CUDA'] = torch
  t.teardown(() => delete process.env['NNCLR_CUDA'])
  const { code, stdout, stderr } = await run(program, await temporaryFolder(t))
  t.is(code, 0, stderr)
  const warnings = JSON.parse(stdout) as string[]
  t.is(warnings.length, 1)
  t.regex(warnings[0] ?? '', /^training on the CPU: cannot open .*libtorch_cuda\.so/)
})
