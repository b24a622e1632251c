/** What the page's TypeScript becomes, without Electron and without its typings. */

import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const PROJECT = fileURLToPath(new URL('../tsconfig.renderer.json', import.meta.url))

/** Compiles the page into `out`; returns the folder that stands beside its `index.html`. */
export async function compilePage(out: string): Promise<string> {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
  const compiler = join(dirname(manifest), 'bin', 'tsc')
  // Checking is `npm run types`; here nnclr's own typings may not be built.
  const words = ['-p', PROJECT, '--noCheck', '--outDir', out]
  await promisify(execFile)(process.execPath, [compiler, ...words])
  return join(out, 'renderer')
}
