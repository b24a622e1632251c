/** `nnclr cuda`. */

import { didYouMean, show } from '../config/check.js'
import { nearest } from '../config/nearest.js'
import { choiceFile, saveFolder } from '../cuda/choice.js'
import { installCuda, planInstall } from '../cuda/install.js'
import { cudaPins } from '../cuda/pins.js'
import { folderProblem, inspectTorch, TORCH_VERSION } from '../cuda/torch-folder.js'
import { type ConfigIssue, NnclrError } from '../errors.js'
import { COMMON_FLAGS, type Command, failOn, type Surroundings, tooMany } from './command.js'
import type { Arguments, Flag } from './flags.js'
import { EXIT } from './terminal.js'
import { counted } from './words.js'

const DRY_RUN: Flag = {
  key: 'dryRun',
  name: 'dry-run',
  isSwitch: true,
  words: 'with install: list what would be fetched, with sizes, and fetch nothing',
}

/** Does one of the words after `cuda`; resolves with the exit code. */
type Action = (args: Arguments, around: Surroundings) => Promise<number>

/** Each action with the number of words that it takes, itself included. */
const ACTIONS: Readonly<Record<string, { readonly words: number; readonly run: Action }>> = {
  status: { words: 1, run: status },
  use: { words: 2, run: use },
  install: { words: 1, run: install },
  forget: { words: 1, run: forget },
}

/** The command. */
export const cudaCommand: Command = {
  name: 'cuda',
  summary: 'use an NVIDIA GPU: show why not, choose a torch, or fetch the CUDA part',
  flags: () => [DRY_RUN, ...COMMON_FLAGS],
  help: () => ({
    usage: 'cuda status | use DIR | install | forget [flags]',
    summary: `status tells whether a GPU can be used and, if not, why. use DIR takes the CUDA part from the torch ${TORCH_VERSION} that a Python already has; DIR is its folder in site-packages. install fetches it by pip into a folder of this user (about 2.5 GB; goes on where it was cut short). forget undoes use and install's choice. NNCLR_CUDA wins over what is chosen here.`,
    examples: [
      ['nnclr cuda status', 'what is found, and why the GPU is not used'],
      ['nnclr cuda use ~/venv/lib/python3.12/site-packages/torch', "take a Python's torch"],
      ['nnclr cuda install --dry-run', 'what would be fetched'],
    ],
    groups: [
      { title: 'Flags', flags: [DRY_RUN] },
      { title: 'General', flags: COMMON_FLAGS },
    ],
    notes: [
      'Exit codes: 0 done, 1 failure (status: 0 too when no GPU can be used), 2 wrong words or flags.',
    ],
  }),
  run: async (args, around) => {
    const [word] = args.positionals
    const action = word === undefined ? undefined : ACTIONS[word]
    if (action === undefined || word === undefined) failOn([...args.issues, unknownAction(word)])
    else {
      failOn([...args.issues, ...tooMany(args, action.words)])
      return action.run(args, around)
    }
    return EXIT.usage
  },
}

function unknownAction(word: string | undefined): ConfigIssue {
  const hint = word === undefined ? undefined : didYouMean(nearest(word, Object.keys(ACTIONS)))
  const expected = 'status | use DIR | install | forget'
  const issue = { field: 'cuda', value: word === undefined ? 'nothing' : show(word), expected }
  return hint === undefined ? issue : { ...issue, hint }
}

async function status({ values }: Arguments, around: Surroundings): Promise<number> {
  const { terminal } = around
  const { cuda } = await (await around.loadApi()).systemInfo()
  if (values.get('json') === true) {
    terminal.out(`${JSON.stringify(cuda)}\n`)
    return EXIT.ok
  }
  const facts: [string, string][] = [
    ['cuda', cuda.available ? `${counted(cuda.devices, 'device')} can be used` : 'not used'],
    ...(cuda.reason === null ? [] : ([['why', cuda.reason]] as [string, string][])),
    ['folder', cuda.folder ?? 'none is chosen'],
    ['driver', cuda.driver ?? 'no NVIDIA driver seen'],
    ['choice in', choiceFile()],
  ]
  terminal.out(facts.map(([name, value]) => `${name.padEnd(10)}${value}\n`).join(''))
  return EXIT.ok
}

async function use(
  { positionals, values }: Arguments,
  { terminal }: Surroundings,
): Promise<number> {
  const [, folder] = positionals
  const expected = `the folder of torch ${TORCH_VERSION} with CUDA: site-packages/torch`
  if (folder === undefined) throw NnclrError.config([{ field: 'DIR', value: 'nothing', expected }])
  const found = inspectTorch(folder)
  const problem = folderProblem(found)
  if (problem !== null || 'code' in found) {
    const value = problem?.reason ?? show(folder)
    throw NnclrError.config([{ field: 'DIR', value, expected }])
  }
  saveFolder(found.lib)
  terminal.out(
    values.get('json') === true
      ? `${JSON.stringify(found)}\n`
      : `torch ${found.version} for CUDA ${found.cuda ?? 'unknown'} in ${found.lib} will be used; nnclr cuda status tells whether a GPU can be\n`,
  )
  return EXIT.ok
}

async function install({ values }: Arguments, { terminal }: Surroundings): Promise<number> {
  const pins = cudaPins()
  const isJson = values.get('json') === true
  const plan = await planInstall(pins)
  if (values.get('dryRun') === true) {
    const wheels = plan.missing.map(({ project, version, bytes }) => ({ project, version, bytes }))
    const total = wheels.reduce((sum, { bytes }) => sum + bytes, 0)
    const lines = wheels.map(
      ({ project, version, bytes }) => `${megabytes(bytes).padStart(9)}  ${project} ${version}\n`,
    )
    terminal.out(
      isJson
        ? `${JSON.stringify({ folder: plan.folder, done: plan.done, wheels, bytes: total })}\n`
        : `${lines.join('')}${megabytes(total).padStart(9)}  to fetch into ${plan.folder}\n`,
    )
    return EXIT.ok
  }
  const folder = await installCuda(pins, {
    onWheel: ({ project, version, bytes }, number, count) =>
      terminal.err(`${number}/${count} ${project} ${version}, ${megabytes(bytes)}\n`),
  })
  saveFolder(folder)
  terminal.out(isJson ? `${JSON.stringify({ folder })}\n` : `${folder} is complete and chosen\n`)
  return EXIT.ok
}

async function forget(_args: Arguments, { terminal }: Surroundings): Promise<number> {
  saveFolder(null)
  terminal.out('no CUDA folder is chosen; what was fetched stays on the disk\n')
  return EXIT.ok
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
