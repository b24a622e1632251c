import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { COMMON_FLAGS } from '../ts/cli/command.js'
import { rankVariables } from '../ts/cli/launch/attempt.js'
import { LAUNCH_FLAGS, launchOptions, readLaunchArguments } from '../ts/cli/launch/options.js'
import { rankEnvironment } from '../ts/distributed/environment.js'
import type { ConfigIssue } from '../ts/errors.js'
import { launched } from './fixtures-ranks.js'
import { temporaryFolder } from './temporary-folder.js'

const FLAGS = [...LAUNCH_FLAGS, ...COMMON_FLAGS]

function parsed(...words: string[]): { options: object; issues: ConfigIssue[] } {
  const args = readLaunchArguments(words, FLAGS)
  const issues = [...args.issues]
  return { options: launchOptions(args, issues), issues }
}

test("the script's own flags stay its own", (t) => {
  const { options, issues } = parsed('-n', '3', 'train.ts', '--nnodes', '-n', '9', '--lr=1')
  t.deepEqual(issues, [])
  t.like(options, { ranks: 3, script: 'train.ts', machines: 1, restarts: 0, port: null })
  t.deepEqual((options as { words: string[] }).words, ['--nnodes', '-n', '9', '--lr=1'])
  t.like(parsed('-n2', 'x.js').options, { ranks: 2, script: 'x.js' })
  t.like(parsed('--nproc_per_node=2', '--max-restarts', '1', '--', 'x.js', 'y').options, {
    ranks: 2,
    restarts: 1,
    script: 'x.js',
  })
})

test('wrong flags of launch are told all at once', (t) => {
  const fields = (...words: string[]) => parsed(...words).issues.map(({ field }) => field)
  t.deepEqual(fields(), ['SCRIPT'])
  t.deepEqual(fields('-n', 'two', '--master-port', '0', 'x.js'), [
    '--nproc-per-node',
    '--master-port',
  ])
  t.deepEqual(fields('--nnodes', '2', '--node-rank', '2', '--max-restarts', '1', 'x.js'), [
    '--node-rank',
    '--master-addr',
    '--max-restarts',
  ])
  t.deepEqual(fields('--nproc', '2', 'x.js'), ['--nproc'])
})

test('the variables of a rank are read back as that rank', (t) => {
  const { options } = parsed(
    ...['--nnodes', '2', '--node-rank', '1', '--master-addr', 'host0', '-n', '4', 'x.js'],
  )
  const env = rankVariables(options as never, 2, 3, { port: 4000, job: 'j' })
  t.like(rankEnvironment(env), {
    rank: 6,
    worldSize: 8,
    localRank: 2,
    localWorldSize: 4,
    masterAddr: 'host0',
    masterPort: 4000,
    prefix: 'nnclr/j/3',
  })
})

test('each rank is told who it is, and its lines say whose they are', async (t) => {
  const script = join(await temporaryFolder(t), 'script.ts')
  await writeFile(
    script,
    `const { RANK, WORLD_SIZE, LOCAL_RANK } = process.env as Record<string, string>
     console.log(RANK, WORLD_SIZE, LOCAL_RANK, process.argv.slice(2).join())
     console.error('to stderr')`,
  )
  const { code, stdout, stderr } = await launched(['-n', '2', script, '-n', '5']).ended
  t.is(code, 0)
  t.deepEqual(stdout.trim().split('\n').sort(), ['[0] 0 2 0 -n,5', '[1] 1 2 1 -n,5'])
  t.deepEqual(stderr.trim().split('\n').sort(), ['[0] to stderr', '[1] to stderr'])
})
