/** `nnclr launch`: a script on several ranks, for people without torchrun. */

import { COMMON_FLAGS, type Command, failOn } from './command.js'
import { runAttempt, type Stop } from './launch/attempt.js'
import { LAUNCH_FLAGS, launchOptions, readLaunchArguments } from './launch/options.js'
import { EXIT } from './terminal.js'

/** `--json` has nothing to say here: the output is the script's. */
const OTHER_FLAGS = COMMON_FLAGS.filter(({ key }) => key !== 'json')
const flags = [...LAUNCH_FLAGS, ...OTHER_FLAGS]

/** The command. */
export const launchCommand: Command = {
  name: 'launch',
  summary: 'run a script on several ranks that train together',
  flags: () => flags,
  read: (argv) => readLaunchArguments(argv, flags),
  help: () => ({
    usage: 'launch [-n N] SCRIPT [arguments of the script]',
    summary:
      "Starts N Node processes that run SCRIPT, each with the variables that tell it its rank (torchrun's: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT). In them train() joins the other ranks, and so does initProcessGroup(). SCRIPT is a program of yours, not a command of nnclr: nnclr train --devices N starts its ranks by itself.",
    examples: [
      ['nnclr launch -n 2 train.js photos/', 'two ranks on this machine'],
      [
        'nnclr launch --nnodes 2 --node-rank 0 --master-addr 10.0.0.1 -n 8 train.js photos/',
        'eight ranks on the first of two machines',
      ],
    ],
    groups: [
      { title: 'Ranks', flags: LAUNCH_FLAGS },
      { title: 'General', flags: OTHER_FLAGS },
    ],
    notes: [
      'Flags of launch stand before SCRIPT; what follows it is the script\'s own. With several ranks each line of their output begins with the rank: "[1] ". Flags of Node go on to the ranks.',
      'The first rank that fails ends the others: SIGTERM, and after 10 s SIGKILL. SIGINT and SIGTERM go on to all ranks; a second one ends at once.',
      'Exit codes: 0 done, 2 wrong flags, 130 or 143 stopped by a signal, else that of the rank that failed first (128 and the number of the signal that ended it).',
    ],
  }),
  run: async (args, { terminal, watchForStop }) => {
    const issues = [...args.issues]
    const options = launchOptions(args, issues)
    failOn(issues)
    using watch = watchForStop((name) => {
      terminal.err(`${name}: sent to all ranks; once more to quit at once\n`)
    })
    const stop: Stop = {
      signal: watch.signal,
      name: () => (watch.exitCode() === EXIT.interrupted ? 'SIGINT' : 'SIGTERM'),
    }
    for (let attempt = 0; ; attempt++) {
      const failed = await runAttempt(options, attempt, stop, terminal)
      const stopped = watch.exitCode()
      if (stopped !== null) return stopped
      if (failed === null) return EXIT.ok
      const left = options.restarts - attempt
      const next = left > 0 ? `; starting anew, ${left} of ${options.restarts} restarts left` : ''
      terminal.err(`rank ${failed.rank} ${failed.words}${next}\n`)
      if (left <= 0) return failed.code
    }
  },
}
