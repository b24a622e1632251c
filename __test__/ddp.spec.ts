import { join } from 'node:path'
import test from 'ava'
import {
  convertSyncBatchNorm,
  DistributedDataParallel,
  loadSafetensors,
  NNCLRPredictionHead,
  NnclrError,
} from '../ts/index.js'
import { quiet, ranks } from './fixtures-group.js'
import { course, distance } from './fixtures-group-loop.js'
import { temporaryFolder } from './temporary-folder.js'

const STEPS = 3

test.serial('two ranks with half the batch are one process with all of it', async (t) => {
  const out = await temporaryFolder(t)
  const program = `
    const { createHash } = await import('node:crypto')
    const group = await initProcessGroup({ timeoutSeconds: 30 })
    const meansOf = async (losses) => {
      const means = losses.map((loss) => group.allReduce(Tensor.from(Float64Array.of(loss)), 'mean'))
      return Promise.all(means.map((mean) => mean.item()))
    }
    const whole = await fixtures.course(${STEPS}, group)
    told.losses = await meansOf(whole.losses)
    const hash = createHash('sha256')
    for (const tensor of whole.state.values()) hash.update(new Uint8Array((await tensor.toArray()).buffer))
    told.hash = hash.digest('hex')
    if (group.rank === 0) {
      await nnclr.saveSafetensors(out + '/gradients', whole.gradients)
      await nnclr.saveSafetensors(out + '/state', whole.state)
    }
    const one = async (options) => meansOf((await fixtures.course(1, group, options)).losses)
    told.localNorm = await one({ syncBatchNorm: false })
    told.localNegatives = await one({ gatherDistributed: false })
    await group.leave()`
  type Told = Record<'losses' | 'localNorm' | 'localNegatives', number[]> & { hash: string }
  const running = ranks<Told>(program, 2, { out })
  const alone = await course(STEPS, { rank: 0, worldSize: 1 })
  const [first, second] = quiet(t, await running)
  t.is(first?.hash, second?.hash, 'weights, statistics and banks of both ranks, bit for bit')
  /** The largest relative distance from one process. */
  const apart = (losses: readonly number[] = []): number =>
    Math.max(...losses.map((loss, step) => Math.abs(loss / (alone.losses[step] ?? 0) - 1)))
  const same = [
    apart(first?.losses),
    await distance(alone.gradients, await loadSafetensors(join(out, 'gradients'))),
    await distance(alone.state, await loadSafetensors(join(out, 'state'))),
  ]
  t.is(first?.losses.length, STEPS)
  t.log('relative distance of losses, gradients, state:', same)
  t.true(Math.max(...same) < 1e-10, `${same}`)
  // Controls: each half of what makes them equal is missed when it is not there.
  t.true(apart(first?.localNorm) > 1e-3, `without synchronised batch norm: ${first?.localNorm}`)
  t.true(apart(first?.localNegatives) > 1e-3, `without negatives: ${first?.localNegatives}`)
})

test('wrapping and converting need a process group', (t) => {
  const head = new NNCLRPredictionHead(6, 8, 4)
  const fails = (work: () => unknown, message: RegExp): void => {
    const error = t.throws(work, { instanceOf: NnclrError, message })
    t.is(error.code, 'CONFIG')
  }
  fails(() => new DistributedDataParallel(head), /initProcessGroup/)
  fails(() => convertSyncBatchNorm(head), /initProcessGroup/)
})
