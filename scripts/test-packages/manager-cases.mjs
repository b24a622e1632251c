// The other package managers, and two versions of nnclr in one tree.
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { trained } from './expect.mjs'

/** @param {import('./machine.mjs').Machine} machine @returns {Generator<import('./cases.mjs').Case>} */
export function* managerCases(machine) {
  const yarn = [
    `npmRegistryServer: "${machine.registry}"`,
    'unsafeHttpWhitelist: ["127.0.0.1"]',
    'enableTelemetry: false',
    'npmMinimalAgeGate: 0',
    '',
  ].join('\n')
  const kinds = [
    { name: 'npm 10', manager: 'npm-10', args: ['install', 'nnclr'] },
    { name: 'pnpm 12', manager: 'pnpm-12', args: ['add', 'nnclr'] },
    {
      name: 'yarn 1',
      manager: 'yarn-1',
      args: ['add', 'nnclr', '--registry', machine.registry, '--ignore-scripts'],
    },
    {
      name: 'yarn 4, node-modules',
      manager: 'yarn-4',
      args: ['add', 'nnclr'],
      files: { '.yarnrc.yml': `nodeLinker: node-modules\n${yarn}`, 'yarn.lock': '' },
    },
    {
      name: "yarn 4, Plug'n'Play",
      manager: 'yarn-4',
      args: ['add', 'nnclr'],
      files: { '.yarnrc.yml': `nodeLinker: pnp\n${yarn}`, 'yarn.lock': '' },
      options: ['--require', './.pnp.cjs', '--import', './pnp-hooks.mjs'],
    },
  ]
  for (const { name, manager, args, files = {}, options = [] } of kinds) {
    yield {
      name: `${name}: install, train with Node 20 and 24`,
      work: async () => {
        const folder = machine.project(name.replaceAll(/\W+/g, '-'))
        for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text)
        await machine.manage(manager, folder, args)
        if (options.length > 0) {
          // What `yarn node` sets; asked of Node itself, so that nothing but Node is on the PATH.
          const hooks =
            "import { register } from 'node:module'\nregister('./.pnp.loader.mjs', import.meta.url)\n"
          writeFileSync(join(folder, 'pnp-hooks.mjs'), hooks)
          if (!existsSync(join(folder, '.pnp.cjs'))) throw new Error('there is no .pnp.cjs')
        }
        for (const version of ['20', '24'])
          trained(await machine.program(version, folder, [...options, 'module.mjs']))
        rmSync(folder, { recursive: true, force: true })
      },
    }
  }
}

/** @param {import('./machine.mjs').Machine} machine @param {{ version: string, other: string }} versions */
export function* twoVersions(machine, { version, other }) {
  yield {
    name: `two versions in one process: ${version} and ${other}`,
    work: async () => {
      const folder = machine.project('two')
      const names = [`nnclr@${version}`, `nnclr-other@npm:nnclr@${other}`]
      await machine.manage('npm-12', folder, ['install', ...names])
      trained(await machine.program('24', folder, ['two-versions.mjs']))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
