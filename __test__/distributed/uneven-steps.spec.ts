import test from 'ava'
import { type Failure, quiet, ranks } from '../fixtures-group.js'

test('a rank that leaves in order after fewer steps ends the others with an error that names it', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 60 })
    told.left = await failure(() => fixtures.headSteps(group.rank === 0 ? 4 : 2))
    await group.leave()`
  const [first, second] = quiet(t, await ranks<{ left: Failure | null }>(program, 2))
  t.is(second?.left, null)
  t.is(first?.left?.code, 'DISTRIBUTED')
  t.regex(first?.left?.message ?? '', /rank 1 left the group while rank 0 still had work/)
  // Rank 1 holds no store, so that it leaves at once.
  t.true((first?.left?.seconds ?? 99) < 4, `${first?.left?.seconds} s`)
})

test('they hear of it at once from the rank that holds the store too, which disposed its module', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 60 })
    const steps = async (count) => {
      const ddp = new nnclr.DistributedDataParallel(new nnclr.NNCLRPredictionHead(6, 8, 4))
      for (let step = 0; step < count; step++) {
        const loss = ddp.forward(fixtures.noise(step, [5, 6]).to('float32')).sum()
        loss.backward()
        await loss.item()
      }
      ddp.dispose()
    }
    told.left = await failure(() => steps(group.rank === 0 ? 2 : 4))
    await group.leave(group.rank === 0 ? undefined : told.left?.message)`
  const [first, second] = quiet(t, await ranks<{ left: Failure | null }>(program, 2))
  t.is(first?.left, null)
  t.is(second?.left?.code, 'DISTRIBUTED')
  t.regex(second?.left?.message ?? '', /rank 0 left the group while rank 1 still had work/)
  t.true((second?.left?.seconds ?? 99) < 4, `${second?.left?.seconds} s`)
})
