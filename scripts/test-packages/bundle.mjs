import { join } from 'node:path'

/** Bundles module.mjs to bundle/out.mjs. */
export async function bundle(machine, folder, options) {
  const program = join(folder, 'node_modules/@esbuild/linux-x64/bin/esbuild')
  const common = ['module.mjs', '--bundle', '--platform=node', '--format=esm']
  const words = [program, ...common, '--outfile=bundle/out.mjs', ...options]
  const ended = await machine.run(words, folder, '24', { limit: 60_000 })
  if (ended.code !== 0) throw new Error(ended.stderr)
}
