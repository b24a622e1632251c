// The native addon: built by napi and cargo, and only when something it is made of has changed.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { SetupError } from './errors.mjs'
import { npmCommand } from './packages.mjs'
import { say, startProgress } from './progress.mjs'
import { runCommand } from './run-command.mjs'
import { digest, forget, isFresh, listFiles, remember } from './stamp.mjs'

const STAMP = '.setup/addon.json'
const OUTPUT = 'ts/binding'
const INPUTS = [
  'crate/src',
  'crate/csrc',
  'crate/build.rs',
  'crate/Cargo.toml',
  'Cargo.toml',
  'Cargo.lock',
  'rust-toolchain.toml',
  '.cargo/config.toml',
]
/** Other values of these build another addon. */
const VARIABLES = ['LIBTORCH', 'RUSTFLAGS', 'CARGO_BUILD_TARGET', 'CXX', 'CXXFLAGS']

/** What cargo says while it works; everything else it says is worth showing. */
const CHATTER =
  /^\s*(Compiling|Checking|Downloading|Downloaded|Updating|Locking|Adding|Finished|Blocking|Fresh)\b/

function inputs(root, libtorch) {
  // napi's version decides the generated files.
  const words = [
    libtorch,
    process.platform,
    process.arch,
    ...VARIABLES.map((name) => process.env[name] ?? ''),
  ]
  return digest(root, [...INPUTS, 'node_modules/@napi-rs/cli/package.json'], words)
}

/** @param {string} root @param {string} libtorch the folder it is linked against */
export function addonIsFresh(root, libtorch) {
  const built = listFiles(root, OUTPUT).some((name) => name.endsWith('.node'))
  return built && isFresh(join(root, STAMP), inputs(root, libtorch), () => digest(root, [OUTPUT]))
}

/** @param {string} root @param {string} libtorch */
export async function buildAddon(root, libtorch) {
  forget(join(root, STAMP))
  const before = inputs(root, libtorch)
  let current = ''
  let crates = 0
  if (!hasTorchSys(root))
    say("building the addon for the first time: libtorch's bindings alone take about four minutes")
  const done = startProgress('building the addon', () =>
    current ? `crate ${crates}: ${current}` : '',
  )
  const [command, args] = npmCommand()
  const { code, output } = await runCommand(command, [...args, 'run', '--silent', 'build:native'], {
    cwd: root,
    onLine: (line) => {
      const crate = /^\s*Compiling (\S+)/.exec(line)?.[1]
      if (crate) {
        current = crate
        crates += 1
      }
    },
  })
  const report = output
    .split('\n')
    .filter((line) => !CHATTER.test(line))
    .join('\n')
    .trim()
  if (code !== 0) {
    done('failed')
    process.stderr.write(`${report}\n`)
    throw new SetupError("the addon could not be built: the compiler's report is above.")
  }
  done()
  if (/^warning/m.test(report)) process.stderr.write(`${report}\n`)
  // Sources changed during the build: it counts for what it started from, so the next run builds again.
  remember(join(root, STAMP), before, digest(root, [OUTPUT]))
}

function hasTorchSys(root) {
  const folder = process.env.CARGO_TARGET_DIR || join(root, 'target')
  if (!existsSync(folder)) return false
  // cargo's own folder, or that of a target named to it.
  return ['.', ...readdirSync(folder)]
    .flatMap((target) => listFiles(folder, join(target, 'release/deps')))
    .some((name) => name.includes('libtorch_sys-'))
}
