import test, { type ExecutionContext } from 'ava'
import { type Environment, rankEnvironment } from '../ts/distributed/environment.js'
import { countOf, firstHost } from '../ts/distributed/slurm.js'
import { NnclrError } from '../ts/errors.js'

const TORCHRUN: Environment = {
  RANK: '3',
  WORLD_SIZE: '4',
  LOCAL_RANK: '1',
  LOCAL_WORLD_SIZE: '2',
  MASTER_ADDR: 'node1',
  MASTER_PORT: '29400',
}

const SLURM: Environment = {
  SLURM_STEP_ID: '0',
  SLURM_JOB_ID: '40123',
  SLURM_NTASKS: '7',
  SLURM_PROCID: '6',
  SLURM_LOCALID: '0',
  SLURM_NODEID: '3',
  SLURM_STEP_TASKS_PER_NODE: '2(x3),1',
  SLURM_STEP_NODELIST: 'node[003-005,7]',
}

const MPI: Environment = {
  OMPI_COMM_WORLD_SIZE: '4',
  OMPI_COMM_WORLD_RANK: '2',
  OMPI_COMM_WORLD_LOCAL_RANK: '0',
  OMPI_COMM_WORLD_LOCAL_SIZE: '2',
  MASTER_ADDR: '10.0.0.1',
}

function fieldsOf(t: ExecutionContext, env: Environment): string[] {
  const error = t.throws(() => rankEnvironment(env), { instanceOf: NnclrError })
  t.is(error?.code, 'CONFIG')
  return error?.issues.map(({ field }) => field) ?? []
}

test('without a launcher there is no rank', (t) => {
  t.is(rankEnvironment({}), null)
  t.is(rankEnvironment({ MASTER_ADDR: 'left from elsewhere', LOCAL_RANK: '1' }), null)
})

test('one process that meets nobody is no rank, one that a launcher started is', (t) => {
  t.is(rankEnvironment({ RANK: '0' }), null)
  t.is(rankEnvironment({ WORLD_SIZE: '1' }), null)
  t.is(rankEnvironment({ RANK: '0', WORLD_SIZE: '1', MASTER_ADDR: 'node1' }), null)
  t.is(rankEnvironment({ ...SLURM, RANK: '0', WORLD_SIZE: '1' })?.rank, 6)
  const one = { ...TORCHRUN, RANK: '0', WORLD_SIZE: '1', LOCAL_RANK: '0', LOCAL_WORLD_SIZE: '1' }
  t.like(rankEnvironment(one), { rank: 0, worldSize: 1 })
  t.deepEqual(fieldsOf(t, { WORLD_SIZE: '2' }), ['RANK', 'MASTER_ADDR', 'MASTER_PORT'])
})

test("torchrun's variables tell the rank", (t) => {
  t.deepEqual(rankEnvironment(TORCHRUN), {
    rank: 3,
    worldSize: 4,
    localRank: 1,
    localWorldSize: 2,
    masterAddr: 'node1',
    masterPort: 29_400,
    hostsStore: false,
    prefix: 'nnclr/job/0',
    networkInterface: null,
  })
  t.like(rankEnvironment({ ...TORCHRUN, RANK: '0', GLOO_SOCKET_IFNAME: 'eth1' }), {
    hostsStore: true,
    networkInterface: 'eth1',
  })
})

test('where an agent holds the store rank 0 does not, and each attempt has its own keys', (t) => {
  const agent = {
    ...TORCHRUN,
    RANK: '0',
    TORCHELASTIC_USE_AGENT_STORE: 'True',
    TORCHELASTIC_RUN_ID: 'abc',
  }
  const first = rankEnvironment({ ...agent, TORCHELASTIC_RESTART_COUNT: '0' })
  const second = rankEnvironment({ ...agent, TORCHELASTIC_RESTART_COUNT: '1' })
  t.false(first?.hostsStore)
  t.deepEqual([first?.prefix, second?.prefix], ['nnclr/abc/0', 'nnclr/abc/1'])
})

test('a pod of a PyTorchJob is one rank on its machine', (t) => {
  const { LOCAL_RANK: _rank, LOCAL_WORLD_SIZE: _size, ...pod } = TORCHRUN
  t.like(rankEnvironment(pod), { rank: 3, localRank: 0, localWorldSize: 1 })
})

test("a step of Slurm has its ranks, a port of its job's and its first node as the meeting point", (t) => {
  t.like(rankEnvironment(SLURM), {
    rank: 6,
    worldSize: 7,
    localRank: 0,
    localWorldSize: 1,
    masterAddr: 'node003',
    masterPort: 20_123,
    hostsStore: false,
    prefix: 'nnclr/slurm.40123.0/0',
  })
  const third = { ...SLURM, SLURM_PROCID: '5', SLURM_LOCALID: '1', SLURM_NODEID: '2' }
  t.is(rankEnvironment(third)?.localWorldSize, 2)
  const given = { ...SLURM, MASTER_ADDR: 'ib0.node003', MASTER_PORT: '4000' }
  t.like(rankEnvironment(given), { masterAddr: 'ib0.node003', masterPort: 4000 })
})

test('outside a step of several tasks Slurm makes no ranks', (t) => {
  t.is(rankEnvironment({ ...SLURM, SLURM_STEP_ID: undefined }), null)
  t.is(rankEnvironment({ ...SLURM, SLURM_STEP_ID: 'batch' }), null)
  t.is(rankEnvironment({ ...SLURM, SLURM_STEP_ID: '4294967291' }), null)
  t.is(rankEnvironment({ ...SLURM, SLURM_NTASKS: '1' }), null)
})

test('the innermost launcher counts', (t) => {
  t.is(rankEnvironment({ ...SLURM, ...MPI, ...TORCHRUN })?.rank, 3)
  t.is(rankEnvironment({ ...SLURM, ...MPI })?.rank, 2)
})

test('Open MPI needs the meeting point from outside', (t) => {
  t.like(rankEnvironment(MPI), { rank: 2, worldSize: 4, localWorldSize: 2, masterPort: 29_500 })
  t.deepEqual(fieldsOf(t, { ...MPI, MASTER_ADDR: undefined }), ['MASTER_ADDR'])
  t.is(rankEnvironment({ ...MPI, OMPI_COMM_WORLD_SIZE: '1' }), null)
})

test('half-set variables and nonsense are told all at once, by name', (t) => {
  t.deepEqual(fieldsOf(t, { RANK: '1' }), ['WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'])
  t.deepEqual(fieldsOf(t, { ...TORCHRUN, RANK: 'one', MASTER_PORT: '70000' }), [
    'RANK',
    'MASTER_PORT',
  ])
  t.deepEqual(fieldsOf(t, { ...TORCHRUN, RANK: '-1' }), ['RANK'])
  t.deepEqual(fieldsOf(t, { ...TORCHRUN, RANK: '4' }), ['RANK'])
  t.deepEqual(fieldsOf(t, { ...TORCHRUN, LOCAL_RANK: '2' }), ['LOCAL_RANK'])
  t.deepEqual(fieldsOf(t, { ...TORCHRUN, LOCAL_WORLD_SIZE: '8' }), ['LOCAL_WORLD_SIZE'])
  t.deepEqual(fieldsOf(t, { ...SLURM, SLURM_STEP_NODELIST: '[' }), ['SLURM_STEP_NODELIST'])
  t.deepEqual(fieldsOf(t, { ...SLURM, SLURM_NODEID: '9' }), ['SLURM_STEP_TASKS_PER_NODE'])
  const error = t.throws(() => rankEnvironment({ ...TORCHRUN, WORLD_SIZE: '' }))
  t.regex(error?.message ?? '', /WORLD_SIZE: got nothing, expected a whole number from 1/)
})

test("Slurm's lists are read", (t) => {
  t.deepEqual(
    ['node[003-005,7]', 'a,b', 'gpu[01-02]-ib,x', 'r[1-2]n[3-4]', 'login.site.org', '', 'a b'].map(
      firstHost,
    ),
    ['node003', 'a', 'gpu01-ib', 'r1n3', 'login.site.org', null, null],
  )
  t.deepEqual(
    [0, 1, 2, 3, 4].map((node) => countOf('2(x3),1', node)),
    [2, 2, 2, 1, null],
  )
  t.is(countOf('two', 0), null)
})
