import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import {
  applyCudaChoice,
  choiceFile,
  chooseCuda,
  dataFolder,
  savedFolder,
  saveFolder,
} from '../ts/cuda/choice.js'
import { type CudaFacts, type CudaState, explainCuda, unusedGpuNote } from '../ts/cuda/diagnosis.js'
import { oldestBranch, parseDriverVersion } from '../ts/cuda/driver.js'
import { folderProblem, inspectTorch } from '../ts/cuda/torch-folder.js'
import { temporaryFolder } from './temporary-folder.js'

/** A folder like Python's `site-packages/torch`, with empty libraries. */
async function fakeTorch(
  root: string,
  version: string,
  libraries: readonly string[] = ['libtorch_cuda.so', 'libtorch_cpu.so'],
): Promise<string> {
  const torch = join(root, `torch-${version}`)
  await mkdir(join(torch, 'lib'), { recursive: true })
  for (const library of libraries) await writeFile(join(torch, 'lib', library), '')
  const cuda = "cuda: Optional[str] = '13.0'"
  await writeFile(join(torch, 'version.py'), `__version__ = '${version}'\ndebug = False\n${cuda}\n`)
  return torch
}

test('a torch is found from its package, its lib and what holds it; its version is told', async (t) => {
  const root = await temporaryFolder(t)
  const torch = await fakeTorch(root, '2.13.0+cu130')
  const expected = { lib: join(torch, 'lib'), version: '2.13.0', cuda: '13.0' }
  t.deepEqual(inspectTorch(torch) as object, expected)
  t.deepEqual(inspectTorch(join(torch, 'lib')) as object, expected)
  await mkdir(join(root, 'site-packages'))
  const inside = await fakeTorch(join(root, 'site-packages'), 'x')
  t.like(inspectTorch(inside), { version: 'x' })
  t.is(folderProblem(inspectTorch(torch)), null)
})

test('another version, a CPU build and a folder without torch are problems with their reason', async (t) => {
  const root = await temporaryFolder(t)
  const older = folderProblem(inspectTorch(await fakeTorch(root, '2.12.1+cu130')))
  t.is(older?.code, 'version')
  t.regex(older?.reason ?? '', /is of torch 2\.12\.1, and nnclr needs exactly 2\.13\.0$/)
  const cpu = folderProblem(inspectTorch(await fakeTorch(root, '2.13.0+cpu', ['libtorch_cpu.so'])))
  t.like(cpu, { code: 'folder' })
  t.regex(cpu?.reason ?? '', /build for the CPU alone/)
  t.regex(folderProblem(inspectTorch(root))?.reason ?? '', /holds no libtorch_cuda\.so$/)
  t.regex(folderProblem(inspectTorch(join(root, 'no')))?.reason ?? '', /is not a folder$/)
})

test("the choice is kept in the user's folder and NNCLR_CUDA wins over it", async (t) => {
  const root = await temporaryFolder(t)
  const torch = await fakeTorch(root, '2.13.0+cu130')
  const file = choiceFile({ XDG_CONFIG_HOME: root }, 'linux')
  t.is(file, join(root, 'nnclr', 'cuda.json'))
  t.is(savedFolder(file), null)
  saveFolder(torch, file)
  t.is(savedFolder(file), torch)
  t.like(chooseCuda({}, torch), { folder: torch, source: 'nnclr cuda use', problem: null })
  const other = await fakeTorch(root, '2.13.0')
  t.like(chooseCuda({ NNCLR_CUDA: other }, torch), { folder: other, source: 'NNCLR_CUDA' })
  t.is(chooseCuda({ NNCLR_CUDA: '' }, torch), null, 'empty turns it off')
  await writeFile(file, '{"folder": 7}')
  t.is(savedFolder(file), null, 'a damaged file is no choice')
  saveFolder(null, file)
  await t.throwsAsync(readFile(file), { code: 'ENOENT' })
  saveFolder(null, file)
})

test("the user's folders are where each system has them", (t) => {
  t.is(choiceFile({}, 'linux', '/home/a'), '/home/a/.config/nnclr/cuda.json')
  t.is(
    choiceFile({ XDG_CONFIG_HOME: 'relative' }, 'linux', '/home/a'),
    '/home/a/.config/nnclr/cuda.json',
  )
  t.is(dataFolder({}, 'linux', '/home/a'), '/home/a/.local/share/nnclr')
  t.is(dataFolder({ XDG_DATA_HOME: '/data' }, 'linux', '/home/a'), '/data/nnclr')
  const mac = '/Users/a/Library/Application Support/nnclr'
  t.is(choiceFile({}, 'darwin', '/Users/a'), `${mac}/cuda.json`)
  t.is(choiceFile({ APPDATA: '/roaming' }, 'win32', '/a'), '/roaming/nnclr/cuda.json')
  t.is(dataFolder({ LOCALAPPDATA: '/local' }, 'win32', '/a'), '/local/nnclr')
})

test('a folder of another version never reaches the addon', async (t) => {
  const root = await temporaryFolder(t)
  const good = await fakeTorch(root, '2.13.0+cu130')
  const wrong = await fakeTorch(root, '2.11.0')
  const env: Record<string, string | undefined> = { NNCLR_CUDA: good, XDG_CONFIG_HOME: root }
  applyCudaChoice(env)
  t.is(env['NNCLR_CUDA'], join(good, 'lib'))
  env['NNCLR_CUDA'] = wrong
  applyCudaChoice(env)
  t.is(env['NNCLR_CUDA'], '', 'empty, so that a child does not take a remembered folder instead')
})

test('what a process chose, its children inherit', async (t) => {
  const saved = await fakeTorch(await temporaryFolder(t), '2.13.0+cu130')
  for (const [given, inherited] of [
    [{}, join(saved, 'lib')],
    [{ NNCLR_CUDA: '' }, ''],
    [{ NNCLR_CUDA: join(saved, 'nowhere') }, ''],
  ] as const) {
    const env: Record<string, string | undefined> = { ...given }
    applyCudaChoice(env, saved)
    t.is(env['NNCLR_CUDA'], inherited, JSON.stringify(given))
    // The child's own turn.
    applyCudaChoice(env, saved)
    t.is(env['NNCLR_CUDA'], inherited)
  }
  const untouched: Record<string, string | undefined> = {}
  applyCudaChoice(untouched, null)
  t.false('NNCLR_CUDA' in untouched)
})

test('a folder that does not tell its version is not opened', async (t) => {
  const torch = await fakeTorch(await temporaryFolder(t), '2.13.0+cu130')
  await rm(join(torch, 'version.py'))
  const problem = folderProblem(inspectTorch(torch))
  t.is(problem?.code, 'version')
  t.regex(
    problem?.reason ?? '',
    /has no version\.py beside it.*, and nnclr needs exactly 2\.13\.0$/,
  )
  const env: Record<string, string | undefined> = { NNCLR_CUDA: torch }
  applyCudaChoice(env, null)
  t.is(env['NNCLR_CUDA'], '')
})

const LOADED = 'the CUDA plug-in is loaded, but no driver with a device was found'
const chosen = { folder: '/torch/lib', source: 'nnclr cuda use', problem: null } as const
const FACTS: CudaFacts = {
  choice: chosen,
  nativeReason: LOADED,
  driver: '580.65.06',
  cuda: '13.0',
  visible: undefined,
}

const CASES: readonly [CudaState, Partial<CudaFacts>, RegExp | null][] = [
  ['ready', { nativeReason: null }, null],
  [
    'no-plugin',
    { choice: null, driver: null },
    /^no NVIDIA driver is loaded, and no CUDA part.*nnclr cuda install/,
  ],
  [
    'no-plugin',
    { choice: null },
    /^there is an NVIDIA driver 580\.65\.06, but no CUDA part.*nnclr cuda install/,
  ],
  [
    'version',
    { choice: { ...chosen, problem: { code: 'version', reason: '/a is of torch 2.12.0' } } },
    /^nnclr cuda use: \/a is of torch 2\.12\.0: install torch 2\.13\.0 there/,
  ],
  [
    'folder',
    {
      choice: {
        folder: '/a',
        source: 'NNCLR_CUDA',
        problem: { code: 'folder', reason: '/a is not a folder' },
      },
    },
    /^NNCLR_CUDA: \/a is not a folder: correct the variable$/,
  ],
  [
    'library-missing',
    {
      nativeReason:
        'cannot open /torch/lib/libtorch_cuda.so: libcudnn.so.9: cannot open shared object file: No such file or directory',
    },
    /^libcudnn\.so\.9 is missing beside \/torch\/lib: .*nvidia packages/,
  ],
  [
    'folder',
    { nativeReason: 'cannot open /torch/lib/libtorch_cuda.so: file too short' },
    /file too short$/,
  ],
  ['no-driver', { driver: null }, /^no NVIDIA driver is loaded/],
  [
    'driver-too-old',
    { driver: '550.54.15' },
    /^the NVIDIA driver 550\.54\.15 is too old: CUDA 13\.0 needs 580/,
  ],
  ['hidden', { visible: '-1' }, /CUDA_VISIBLE_DEVICES hides/],
  ['no-device', {}, /^the NVIDIA driver 580\.65\.06 offers no device/],
]

for (const [state, facts, reason] of CASES) {
  const said = reason === null ? 'nothing' : String(reason)
  test(`the GPU's state is ${state} and what is said is ${said}`, (t) => {
    const diagnosis = explainCuda({ ...FACTS, ...facts })
    t.is(diagnosis.state, state)
    if (reason === null) t.is(diagnosis.reason, null)
    else t.regex(diagnosis.reason ?? '', reason)
  })
}

test('a training tells why it stays on the CPU, except where nobody expects a GPU', (t) => {
  t.is(unusedGpuNote(explainCuda({ ...FACTS, nativeReason: null })), null)
  t.is(unusedGpuNote(explainCuda({ ...FACTS, choice: null, driver: null })), null)
  t.regex(
    unusedGpuNote(explainCuda({ ...FACTS, choice: null })) ?? '',
    /^training on the CPU: there is/,
  )
  t.regex(unusedGpuNote(explainCuda({ ...FACTS, driver: null })) ?? '', /no NVIDIA driver/)
})

test("the driver's version is read from either module's line", (t) => {
  const closed = 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15'
  const open = 'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build'
  t.is(parseDriverVersion(closed), '535.104.05')
  t.is(parseDriverVersion(open), '580.65.06')
  t.is(parseDriverVersion('something else'), null)
  t.is(oldestBranch('13.0'), 580)
  t.is(oldestBranch(null), null)
})
