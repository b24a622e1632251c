import test from 'ava'
import { type Failure, quiet, ranks } from '../fixtures-group.js'

test.serial('a barrier names the rank that does not come', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 20 })
    if (group.rank === 0) told.barrier = await failure(() => group.barrier(0.5))
    else await new Promise((resolve) => setTimeout(resolve, 1000))
    await group.leave('the test is over')`
  const [first] = quiet(t, await ranks<{ barrier?: Failure }>(program, 2))
  t.is(first?.barrier?.code, 'DISTRIBUTED')
  t.regex(first?.barrier?.message ?? '', /rank 1\b/)
  t.true((first?.barrier?.seconds ?? 9) < 5)
})

test.serial('shapes that differ are an error on both ranks, and no process ends', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 20 })
    const own = Tensor.from(new Float32Array(3 + group.rank))
    told.differ = await failure(() => group.allReduce(own).toArray())
    await group.leave('the shapes differ')`
  for (const { differ } of quiet(t, await ranks<{ differ: Failure }>(program, 2))) {
    t.is(differ.code, 'DISTRIBUTED')
    t.regex(differ.message, /rank 0\b.*3/s)
    t.regex(differ.message, /rank 1\b.*4/s)
    t.true(differ.seconds < 5)
  }
})

test.serial('a rank that leaves with a reason is quoted by the others', async (t) => {
  const program = `
    const group = await initProcessGroup({ timeoutSeconds: 20 })
    if (group.rank === 1) await group.leave('the disk is full')
    else told.quoted = await failure(async () => {
      for (;;) await group.allReduce(Tensor.from(Float32Array.of(1))).item()
    })`
  const [first] = quiet(t, await ranks<{ quoted: Failure }>(program, 2))
  t.is(first?.quoted.code, 'DISTRIBUTED')
  t.regex(first?.quoted.message ?? '', /rank 1\b.*the disk is full/s)
  t.true((first?.quoted.seconds ?? 99) < 10)
})

test.serial('a rank that never comes is named after joinTimeoutSeconds', async (t) => {
  const program = `
    told.alone = await failure(() => initProcessGroup({ joinTimeoutSeconds: 1 }))
    told.none = await failure(async () => getProcessGroup())`
  const [told] = quiet(
    t,
    await ranks<{ alone: Failure; none: Failure }>(program, 2, { started: 1 }),
  )
  t.is(told?.alone.code, 'DISTRIBUTED')
  t.regex(told?.alone.message ?? '', /rank 1\b/)
  t.true((told?.alone.seconds ?? 99) < 5)
  t.is(told?.none.code, 'CONFIG')
})
