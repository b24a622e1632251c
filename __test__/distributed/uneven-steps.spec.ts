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
  // Rank 1 waits 10 s for the others before it closes its connections.
  t.true((first?.left?.seconds ?? 99) < 15)
})
