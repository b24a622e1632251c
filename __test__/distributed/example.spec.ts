import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { writePictures } from '../fixtures-pictures.js'
import { temporaryFolder } from '../temporary-folder.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const HOOK = fileURLToPath(import.meta.resolve('@oxc-node/core/register'))
const EXAMPLE = join(ROOT, 'examples', 'distributed.ts')
const CLI = join(ROOT, 'ts', 'cli.ts')
/** A torchrun of PyTorch; `NNCLR_PEER` is the environment of bench/peer. */
const TORCHRUN = join(process.env['NNCLR_PEER'] ?? '', 'bin', 'torchrun')

/** The example on 32 pictures: two epochs of two steps, 8 pictures a rank. */
async function lines(
  program: string,
  before: readonly string[],
  folder: string,
): Promise<string[]> {
  const data = join(folder, 'pictures')
  await writePictures(data, 32)
  const words = [...before, EXAMPLE, data, '2', '8']
  const { stdout } = await promisify(execFile)(program, words, { cwd: ROOT, timeout: 120_000 })
  return stdout.trim().split('\n')
}

/** `epoch: 00, loss: 3.43812` */
function losses(printed: readonly string[]): number[] {
  return printed.flatMap((line) => {
    const loss = /epoch: \d\d, loss: (\d+\.\d{5})$/.exec(line)?.[1]
    return loss === undefined ? [] : [Number(loss)]
  })
}

test.serial('the distributed example runs under nnclr launch; rank 0 alone prints', async (t) => {
  const words = [`--import=${HOOK}`, CLI, 'launch', '-n', '2']
  const printed = await lines(process.execPath, words, await temporaryFolder(t))
  t.is(printed.length, 3, printed.join('\n'))
  const [first] = losses(printed)
  // Random rows, 2N - 1 = 31 others over both ranks: the loss starts near ln 31.
  t.true(Math.abs((first ?? 0) - Math.log(31)) < 0.7, printed.join('\n'))
})

const withTorchrun = process.env['NNCLR_PEER'] !== undefined && existsSync(TORCHRUN)
const maybe = withTorchrun ? test.serial : test.serial.skip
maybe('the distributed example runs under torchrun', async (t) => {
  const words = ['--standalone', '--no-python', '--nproc-per-node', '2']
  const node = [...words, process.execPath, `--import=${HOOK}`]
  const printed = await lines(TORCHRUN, node, await temporaryFolder(t))
  t.is(losses(printed).length, 2, printed.join('\n'))
})
