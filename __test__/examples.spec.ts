import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { writePictures } from './fixtures-pictures.js'
import { temporaryFolder } from './temporary-folder.js'

const HOOK = fileURLToPath(import.meta.resolve('@oxc-node/core/register'))

/** Runs an example on a small folder: one epoch, batches of 8. */
async function output(name: string, folder: string): Promise<string> {
  const example = fileURLToPath(new URL(`../examples/${name}`, import.meta.url))
  const data = join(folder, 'pictures')
  const options = [`--import=${HOOK}`, example, data, '1', '8']
  const { stdout } = await promisify(execFile)(process.execPath, options, { cwd: folder })
  return stdout
}

test("lightly's plain example runs, line for line", async (t) => {
  const folder = await temporaryFolder(t)
  await writePictures(join(folder, 'pictures'), 16)
  const lines = (await output('nnclr.ts', folder)).trim().split('\n')
  t.is(lines[0], 'Starting Training')
  const loss = Number(/^epoch: 00, loss: (\d+\.\d{5})$/.exec(lines[1] ?? '')?.[1])
  // Random rows, 2N - 1 = 15 others: the loss starts near ln 15.
  t.true(Math.abs(loss - Math.log(15)) < 0.7, lines.join('\n'))
})

test("lightly's Lightning example runs in one call and leaves a backbone", async (t) => {
  const folder = await temporaryFolder(t)
  await writePictures(join(folder, 'pictures'), 16)
  t.regex(await output('train.ts', folder), /^epoch: 1, loss: \d+\.\d{5}$/m)
  const backbone = await readFile(join(folder, 'runs/example/backbone.safetensors'))
  t.true(backbone.includes('layer4.1.bn2.running_var'))
})
