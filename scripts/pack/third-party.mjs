// The licences of what each package ships, as its THIRD_PARTY.md.
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listFiles } from '../setup/stamp.mjs'

/**
 * @param {import('./crates.mjs').Crate[]} crates
 * @returns {string} the addon's: names first, then each text once
 */
export function addonLicences(crates) {
  const lines = [
    '# Software in this addon',
    '',
    'nnclr itself is under the MIT licence (LICENSE). Linked into the addon are the Rust standard library (MIT OR Apache-2.0) and these crates:',
    '',
    '| Crate | Version | Licence |',
    '|---|---|---|',
    ...crates.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`),
    '',
  ]
  const owners = new Map()
  for (const { name, texts } of crates) {
    for (const text of texts) owners.set(text, [...(owners.get(text) ?? []), name])
  }
  for (const [text, names] of owners) {
    lines.push(
      `## ${[...new Set(names)].join(', ')}`,
      '',
      '```',
      text.replaceAll('```', "'''"),
      '```',
      '',
    )
  }
  return lines.join('\n')
}

/** What libtorch is put together from, where its texts are, and when a part is there. */
const LIBTORCH_PARTS = [
  {
    what: 'libtorch (`torch/lib`), by the PyTorch contributors, with the projects built into it',
    licence: 'BSD-3-Clause; theirs are under `licences/torch`',
    file: 'torch/lib/',
  },
  {
    what: 'Intel oneAPI Math Kernel Library, linked into libtorch_cpu',
    licence: 'Intel Simplified Software License, `licences/intel-simplified.txt`',
    file: 'torch/lib/libtorch_cpu.so',
    systems: ['linux-x64'],
  },
  {
    what: 'GNU OpenMP (`torch/lib/libgomp.so.1`), by the GCC authors; its source is at https://gcc.gnu.org',
    licence:
      'GPL-3.0-or-later WITH GCC-exception-3.1, `licences/GPL-3.0.txt` and `licences/GCC-exception-3.1.txt`',
    file: 'torch/lib/libgomp.so.1',
  },
  {
    what: 'NVIDIA CUDA runtime (`nvidia/cu13/lib/libcudart.so.13`); loaded with libtorch, used with a GPU alone',
    licence: 'NVIDIA CUDA EULA (its attachment A lists it), `licences/nvidia_cuda_runtime`',
    file: 'nvidia/cu13/lib/libcudart.so.13',
  },
  {
    what: 'NVIDIA CUPTI (`nvidia/cu13/lib/libcupti.so.13`); loaded with libtorch, used by its profiler alone',
    licence: 'NVIDIA CUDA EULA (its attachment A lists it), `licences/nvidia_cuda_cupti`',
    file: 'nvidia/cu13/lib/libcupti.so.13',
  },
]

/**
 * Writes libtorch's THIRD_PARTY.md and the texts it names.
 * @param {string} root the repository @param {string} libtorch the assembled folder
 * @param {string} stage the package's folder, libraries in place @param {string} system
 */
export function writeLibtorchLicences(root, libtorch, stage, system) {
  const parts = LIBTORCH_PARTS.filter(
    ({ file, systems }) =>
      existsSync(join(stage, file)) && (systems === undefined || systems.includes(system)),
  )
  const rows = parts.map(({ what, licence }) => `| ${what} | ${licence} |`)
  const text = [
    '# Software in this package',
    '',
    'The libraries are those of the wheels `torch`, `nvidia-cuda-runtime` and `nvidia-cuda-cupti`, byte for byte.',
    '',
    '| Part | Licence |',
    '|---|---|',
    ...rows,
    '',
  ].join('\n')
  writeFileSync(join(stage, 'THIRD_PARTY.md'), text)
  mkdirSync(join(stage, 'licences'), { recursive: true })
  for (const name of listFiles(join(root, 'npm/licences'), '.')) {
    if (text.includes(name.replace('./', '')))
      cpSync(join(root, 'npm/licences', name), join(stage, 'licences', name))
  }
  for (const file of listFiles(libtorch, '.').filter((name) =>
    /dist-info\/licenses\//.test(name),
  )) {
    const to = file.replace(/^(?:\.\/)?([a-z_]+)-[\d.]+\.dist-info\/licenses\//, 'licences/$1/')
    mkdirSync(join(stage, to, '..'), { recursive: true })
    cpSync(join(libtorch, file), join(stage, to))
  }
  checkTexts(stage, text)
}

/** A licence that is named must be there. */
function checkTexts(stage, text) {
  for (const [, name] of text.matchAll(/`(licences\/[^`]+)`/g)) {
    if (!existsSync(join(stage, name)) || readFileSafe(join(stage, name)) === '')
      throw new Error(`the text ${name} is missing: was libtorch assembled by npm run setup?`)
  }
}

function readFileSafe(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return 'a folder'
  }
}
