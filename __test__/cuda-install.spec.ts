import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { installCuda, planInstall } from '../ts/cuda/install.js'
import { cudaPins } from '../ts/cuda/pins.js'
import { findPip, type RunPython, runPython } from '../ts/cuda/python.js'
import { NnclrError } from '../ts/errors.js'
import { pinnedWheels } from './fixtures-wheels.js'
import { temporaryFolder } from './temporary-folder.js'

/** Real Python and pip, with a folder for an index. */
function pipFrom(folder: string): RunPython {
  const index = { PIP_NO_INDEX: '1', PIP_FIND_LINKS: folder, PIP_CONFIG_FILE: '/dev/null' }
  return (python, args, env) => runPython(python, args, { ...env, ...index })
}

const CONTENTS = [
  {
    project: 'nnclr-one',
    members: { 'torch/lib/one.so': 'first', 'torch/docs': 'left out' },
    take: ['torch/lib/'],
  },
  { project: 'nnclr-two', members: { 'nvidia/cu13/lib/two.so': 'second' } },
]

test('wheels are fetched by pip, unpacked as chosen, and the folder is complete or not there', async (t) => {
  const [index, parent] = [await temporaryFolder(t), await temporaryFolder(t)]
  const pins = await pinnedWheels(index, CONTENTS)
  const told: string[] = []
  const options = {
    parent,
    run: pipFrom(index),
    onWheel: ({ project }: { project: string }, number: number, count: number) =>
      void told.push(`${number}/${count} ${project}`),
  }
  const plan = await planInstall(pins, options)
  t.false(plan.done)
  t.deepEqual(plan.missing, [...pins.wheels])
  const folder = await installCuda(pins, options)
  t.is(folder, plan.folder)
  t.deepEqual(told, ['1/2 nnclr-one', '2/2 nnclr-two'])
  t.is(await readFile(join(folder, 'torch/lib/one.so'), 'utf8'), 'first')
  t.is(await readFile(join(folder, 'nvidia/cu13/lib/two.so'), 'utf8'), 'second')
  t.deepEqual((await readdir(folder)).sort(), ['nvidia', 'torch', 'wheels.json'])
  t.deepEqual(await readdir(parent), ['cuda-2.13.0-test-x64'], 'nothing else is left behind')

  await installCuda(pins, options)
  t.is(told.length, 2, 'a complete folder is left alone')
  await writeFile(join(folder, 'torch/lib/one.so'), 'cut')
  t.false((await planInstall(pins, options)).done, 'a file of another length is noticed')
})

test('an installation that was cut short goes on after its last whole wheel', async (t) => {
  const [index, parent] = [await temporaryFolder(t), await temporaryFolder(t)]
  const pins = await pinnedWheels(index, CONTENTS)
  const second = join(index, 'nnclr_two-1.0-py3-none-any.whl')
  const wheel = await readFile(second)
  await rm(second)
  const broken = await t.throwsAsync(installCuda(pins, { parent, run: pipFrom(index) }), {
    instanceOf: NnclrError,
  })
  t.like(broken, { code: 'IO', subject: 'nnclr-two' })
  t.regex(broken.message, /nnclr-two 1.0 cannot be fetched \(No matching distribution.*goes on/)

  await writeFile(second, wheel)
  const told: string[] = []
  const onWheel = ({ project }: { project: string }): void => void told.push(project)
  const folder = await installCuda(pins, { parent, run: pipFrom(index), onWheel })
  t.deepEqual(told, ['nnclr-two'])
  t.is(await readFile(join(folder, 'torch/lib/one.so'), 'utf8'), 'first')
})

test('a wheel of another checksum is refused, and so is one that leads out of its folder', async (t) => {
  const [index, parent] = [await temporaryFolder(t), await temporaryFolder(t)]
  const outside = { project: 'nnclr-out', members: { '../../out.so': 'x' } }
  const pins = await pinnedWheels(index, [outside])
  const options = { parent, run: pipFrom(index) }
  const error = await t.throwsAsync(installCuda(pins, options), { instanceOf: NnclrError })
  t.regex(error.message, /nnclr-out cannot be unpacked: the wheel names .*, outside its folder/)

  const wheels = pins.wheels.map((wheel) => ({ ...wheel, sha256: 'a'.repeat(64) }))
  const changed = await t.throwsAsync(installCuda({ ...pins, wheels }, options), {
    instanceOf: NnclrError,
  })
  t.regex(changed.message, /cannot be fetched \(.*(?:DO NOT MATCH|hash)/i)
  t.is((await readdir(parent)).filter((name) => !name.endsWith('.part')).length, 0)
})

test('too little room, no Python and no pip are said before anything is fetched', async (t) => {
  const parent = await temporaryFolder(t)
  const pins = await pinnedWheels(await temporaryFolder(t), CONTENTS)
  const vast = { ...pins, unpackedBytes: 1e18 }
  const run: RunPython = async (_python, args) => {
    t.true(args.includes('--version'), 'pip is asked for nothing but its version')
    return { code: 0, output: args.includes('pip') ? 'pip 25.1 from somewhere' : 'Python 3.12.1' }
  }
  const error = await t.throwsAsync(installCuda(vast, { parent, run }), { instanceOf: NnclrError })
  t.regex(error.message, /^1000000000\.0 GB are needed in .*, \d+\.\d GB are free$/)

  const none = async () => ({ code: 127, output: 'not found' })
  t.regex((await t.throwsAsync(findPip(none)))?.message ?? '', /^Python 3 is missing/)
  const bare: RunPython = async (_python, args) =>
    args.includes('pip')
      ? { code: 1, output: 'No module named pip' }
      : { code: 0, output: 'Python 3.9' }
  t.regex(
    (await t.throwsAsync(findPip(bare)))?.message ?? '',
    /^pip is missing for python3?: install/,
  )
  t.deepEqual((await findPip(run)).resumeFlags, ['--resume-retries', '10'])
  const old: RunPython = async (_python, args) => ({
    code: 0,
    output: args.includes('pip') ? 'pip 24.3 from x' : 'Python 3.12.1',
  })
  t.deepEqual((await findPip(old)).resumeFlags, [])
})

test('the pins name torch and fourteen wheels beside it, each with its checksum', (t) => {
  const { wheels } = cudaPins('linux-x64')
  t.is(wheels.length, 15)
  for (const { project, sha256, bytes, take } of wheels) {
    t.regex(sha256, /^[0-9a-f]{64}$/, project)
    t.true(bytes > 1e6 && take.length >= 2, project)
  }
  t.is(new Set(wheels.map(({ sha256 }) => sha256)).size, 15)
  t.throws(() => cudaPins('win32-x64'), { code: 'DEVICE', message: /win32-x64 is not yet offered/ })
})
