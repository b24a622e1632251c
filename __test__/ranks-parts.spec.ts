import test from 'ava'
import { fitToSet, resolveConfig } from '../ts/config.js'
import { differences } from '../ts/distributed/agreement.js'
import { firstCause } from '../ts/distributed/first-cause.js'
import { groupsSoFar, nextGroup } from '../ts/distributed/group-name.js'
import { checkDevices } from '../ts/distributed/join-ranks.js'
import { gpuOf } from '../ts/distributed/rank-machine.js'
import { ALONE, type Ranks, shareOf } from '../ts/distributed/ranks.js'
import { gpusOfLauncher, seesAllGpus } from '../ts/distributed/visible-gpus.js'
import { NnclrError } from '../ts/errors.js'
import { naturals } from '../ts/sampler.js'
import { threadsOf, workersOf } from '../ts/session.js'
import { BadPictures } from '../ts/train/bad-pictures.js'
import { Clock } from '../ts/train/clock.js'
import { changedSteps, planEpoch } from '../ts/train/epoch-plan.js'
import { restoreSettings } from '../ts/train/restore-settings.js'

const GIVEN = { data: 'photos/', out: 'runs/first' }

test("the ranks' shares of a batch are the batch, in order and of nearly one size", (t) => {
  for (const [length, world] of [
    [16, 2],
    [17, 4],
    [3, 4],
    [0, 3],
    [256, 7],
  ] as const) {
    const batch = naturals(length).map((place) => 1000 - place)
    const shares = Array.from({ length: world }, (_, rank) => shareOf(batch, rank, world))
    t.deepEqual(
      shares.flatMap((share) => [...share]),
      [...batch],
    )
    const sizes = shares.map((share) => share.length)
    t.true(Math.max(...sizes) - Math.min(...sizes) <= 1)
  }
})

test('every rank has the same number of steps, and a picture or two in each', (t) => {
  const settings = { batchSize: 8, dropLast: true, syncBatchNorm: true, gatherNegatives: true }
  t.deepEqual(planEpoch(settings, 20, 2), { steps: 2, dropLast: true, notes: [] })
  t.deepEqual(planEpoch({ ...settings, dropLast: false }, 20, 4), {
    steps: 3,
    dropLast: false,
    notes: [],
  })
  const small = planEpoch({ ...settings, dropLast: false }, 18, 4)
  t.like(small, { steps: 2, dropLast: true })
  t.regex(small.notes.join(), /2 pictures are too few for 4 ranks/)
  t.like(planEpoch({ ...settings, dropLast: false, syncBatchNorm: false }, 22, 4), { steps: 2 })
  t.throws(() => planEpoch(settings, 40, 9), { message: /batchSize: got 8, expected at least 9/ })
  t.throws(() => planEpoch({ ...settings, syncBatchNorm: false }, 40, 5), {
    message: /at least 10 for 5 ranks, two for each/,
  })
  t.throws(() => planEpoch({ ...settings, dropLast: false }, 3, 4), { message: /got 3 pictures/ })
  // One picture has no negatives of its own rank.
  t.throws(() => planEpoch({ ...settings, gatherNegatives: false }, 40, 5), {
    message: /at least 10 for 5 ranks, two for each: gatherNegatives is off/,
  })
})

test('a resumed run tells when its epochs have another number of steps', (t) => {
  const settings = { batchSize: 8, dropLast: false, syncBatchNorm: true, gatherNegatives: true }
  t.deepEqual(changedSteps(settings, 18, 1, 4), [
    'an epoch has 2 steps on 4 ranks and had 3 on 1 rank',
  ])
  t.is(changedSteps(settings, 18, 4, 2).length, 1)
  t.deepEqual(changedSteps(settings, 18, 1, 2), [])
  t.deepEqual(changedSteps(settings, 16, 1, 4), [])
  t.deepEqual(changedSteps({ ...settings, dropLast: true }, 18, 1, 4), [])
})

test('a child process makes the group that its parent would have made next', (t) => {
  const before = nextGroup({})
  // The child's own count begins at 0.
  const child = Number(groupsSoFar({})['NNCLR_GROUPS_BEFORE']) + 1
  t.deepEqual([child, nextGroup({})], [before + 1, before + 2])
})

test('each rank has a GPU of its own, or there are too few', (t) => {
  const rank = (localRank: number) => ({ localRank, localWorldSize: 4 })
  t.is(gpuOf(rank(3), 4, true), 'cuda:3')
  t.is(gpuOf(rank(3), 1, false), 'cuda:0', 'its own one alone')
  for (const gpus of [1, 3]) {
    t.throws(() => gpuOf(rank(0), gpus, true), {
      code: 'CONFIG',
      message: new RegExp(`devices: got 4, expected at most ${gpus}, the GPUs`),
    })
  }
  const launcher = gpusOfLauncher({ CUDA_VISIBLE_DEVICES: '0,1' })
  t.true(seesAllGpus({ ...launcher, CUDA_VISIBLE_DEVICES: '0,1' }))
  t.false(seesAllGpus({ ...launcher, CUDA_VISIBLE_DEVICES: '1' }), 'bound by its script')
  t.false(seesAllGpus({}), "another launcher's")
})

test('facts that differ are told by field, with values and ranks', (t) => {
  t.deepEqual(
    differences([
      { a: 1, b: [1] },
      { a: 1, b: [1] },
    ]),
    [],
  )
  const three = [{ batchSize: 8 }, { batchSize: 16 }, { batchSize: 8, extra: 'x' }]
  t.deepEqual(differences(three), [
    {
      field: 'batchSize',
      value: '8 on ranks 0, 2, 16 on rank 1',
      expected: 'the same on every rank',
    },
    {
      field: 'extra',
      value: "null on ranks 0, 1, 'x' on rank 2",
      expected: 'the same on every rank',
    },
  ])
})

test("a rank's own error is the cause, then a crash, then the loss of a rank", (t) => {
  const lost = { rank: 0, error: new NnclrError('DISTRIBUTED', 'rank 2', 'rank 2 is gone') }
  const crash = { rank: 2, error: new NnclrError('PROCESS', 'process 7', 'the process of rank 2') }
  const own = { rank: 1, error: new NnclrError('IO', 'out', 'no space') }
  t.is(firstCause([lost, crash]), crash.error)
  t.like(firstCause([lost, crash, own]), {
    code: 'IO',
    message: 'rank 1: no space',
    cause: own.error,
  })
  t.like(firstCause([lost]), { code: 'DISTRIBUTED', message: 'rank 0: rank 2 is gone' })
})

test('devices must be what the launcher started', (t) => {
  t.notThrows(() => checkDevices('auto', { localWorldSize: 4 }))
  t.notThrows(() => checkDevices(4, { localWorldSize: 4 }))
  t.throws(() => checkDevices(2, { localWorldSize: 4 }), {
    code: 'CONFIG',
    message: /devices: got 2, expected 'auto' or 4/,
  })
})

test('ranks of a machine share its cores', (t) => {
  const auto = { threads: 'auto', workers: 'auto' } as const
  const cores = threadsOf(auto)
  t.is(threadsOf(auto, 2), Math.max(1, Math.floor(cores / 2)))
  t.is(threadsOf(auto, 1000), 1)
  t.is(workersOf(auto, 1000), 1)
  t.is(threadsOf({ threads: 3 }, 2), 3)
})

test('a run goes on with any number of ranks, and with what counts between them', (t) => {
  const recorded = (fields: object) => ({
    config: { ...resolveConfig({ ...GIVEN, devices: 4, syncBatchNorm: false }), ...fields },
  })
  const alone = restoreSettings({ ...GIVEN, syncBatchNorm: true }, recorded({}), [])
  t.like(alone, { devices: 'auto', syncBatchNorm: false })
  t.is(restoreSettings({ ...GIVEN, devices: 2 }, recorded({}), [], 2).syncBatchNorm, false)
  t.throws(() => restoreSettings({ ...GIVEN, syncBatchNorm: true }, recorded({}), [], 2), {
    message: /syncBatchNorm: got true, expected false, as the run began/,
  })
  const older = recorded({ syncBatchNorm: undefined, gatherNegatives: undefined })
  t.like(restoreSettings(GIVEN, older, [], 2), { syncBatchNorm: true, gatherNegatives: true })
})

test('bad pictures of all ranks count together, each once', async (t) => {
  const listed: object[] = []
  const list = { path: 'bad-images.jsonl', append: (record: object) => void listed.push(record) }
  const config = fitToSet(resolveConfig(GIVEN), 40)
  const bad = (index: number) => ({ index, path: `${index}.jpg`, code: 'DECODE', reason: 'cut' })
  const mine = new BadPictures(list, config, 40, [1])
  mine.meet([bad(1), bad(2)])
  t.is(mine.untold, 1, 'the one from before the resume is known')
  const others = [
    { place: 2, picture: bad(2) },
    { place: 7, picture: bad(7) },
  ]
  const ranks = { ...ALONE, gather: async (met: unknown) => [met, others] } as Ranks
  t.deepEqual(
    (await mine.tell(ranks)).map(({ index }) => index),
    [2, 7],
  )
  t.deepEqual([mine.indices, mine.untold, listed.length], [[1, 2, 7], 0, 2])
  for (let place = 10; place < 18; place++) mine.meet([bad(place)])
  await t.throwsAsync(mine.tell(ALONE), { code: 'DECODE', message: /11 of 40 pictures/ })
})

test('what ranks told each other is averaged over the steps, and is null alone', (t) => {
  const [alone, joined] = [new Clock(1), new Clock(2)]
  for (const clock of [alone, joined]) {
    clock.startEpoch()
    const quiet = { communicationSeconds: 0, averagingSeconds: 0, overlapSeconds: 0 }
    clock.finishedStep(8, { communicatedBytes: 100, ...quiet })
    const waited = { communicationSeconds: 0.5, averagingSeconds: 2, overlapSeconds: 1.5 }
    clock.finishedStep(8, { communicatedBytes: 300, ...waited })
  }
  t.is(alone.epochTiming().communication, null)
  const told = { bytesPerStep: 200, secondsPerStep: 0.25, share: 1, overlap: 0.75 }
  t.deepEqual(joined.stepTiming(1).communication, told)
  t.like(
    joined.stepTiming(1).communication,
    { bytesPerStep: 0, overlap: null },
    'a new span begins',
  )
  t.is(joined.epochTiming().communication?.bytesPerStep, 200)
})
