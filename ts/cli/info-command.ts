/** `nnclr info`. */

import { COMMON_FLAGS, type Command, failOn, tooMany } from './command.js'
import { EXIT } from './terminal.js'

/** The command. */
export const infoCommand: Command = {
  name: 'info',
  summary: 'show versions, device, libtorch, threads and CPU features',
  flags: () => COMMON_FLAGS,
  help: () => ({
    usage: 'info [--json]',
    summary: 'Shows what nnclr runs on. Say this when you report a problem.',
    examples: [['nnclr info', 'what is installed, and whether CUDA can be used']],
    groups: [{ title: 'General', flags: COMMON_FLAGS }],
    notes: ['Exit codes: 0 done, 1 failure, 2 wrong flags.'],
  }),
  run: async (args, { terminal, loadApi }) => {
    failOn([...args.issues, ...tooMany(args, 0)])
    const { systemInfo } = await loadApi()
    const system = await systemInfo()
    if (args.values.get('json') === true) {
      terminal.out(`${JSON.stringify(system)}\n`)
      return EXIT.ok
    }
    const { cuda } = system
    const devices = `${cuda.devices} device${cuda.devices === 1 ? '' : 's'}`
    const facts: [string, string][] = [
      ['nnclr', system.version],
      ['addon', `${system.addon.package ?? 'built in a clone'}, ${system.addon.path}`],
      ['libtorch', `${system.torch}, ${system.libtorch ?? 'its file is not told'}`],
      ['node', `${system.node} on ${system.platform}${system.libc ? `, ${system.libc}` : ''}`],
      ['system', `${system.system}, ${Math.round(system.memory / 2 ** 30)} GiB of memory`],
      ['device', cuda.available ? 'cuda' : 'cpu'],
      ['cuda', cuda.available ? devices : `no: ${cuda.reason ?? 'not found'}`],
      ['driver', cuda.driver ?? 'no NVIDIA driver seen'],
      ['threads', String(system.threads)],
      ['cpu', `${system.processor} (${system.cpu.join(' ')})`],
    ]
    terminal.out(facts.map(([name, value]) => `${name.padEnd(10)}${value}\n`).join(''))
    return EXIT.ok
  },
}
