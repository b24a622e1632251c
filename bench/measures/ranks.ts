/** Data parallel on one machine: ranks against one process, and against the reference's own ranks. */

import { always, type Measure, type Side } from '../measure.js'
import { epochTraining } from './epoch.js'
import { IMAGES_PER_SECOND, ourTraining, peerTraining } from './training-sides.js'

/** One rank a core of the two that the target is about. */
const RANKS = 2

function named(name: string, side: Side, settings: Record<string, unknown>): Side {
  return { ...side, name, settings: { ...side.settings, ...settings } }
}

export const ranks: Measure = {
  name: 'ranks',
  onlyNamed: always,
  notes: ({ threads }) => [
    `ranks: ${RANKS} ranks x ${Math.max(1, threads / RANKS)} thread, one process x ${threads} threads, the same batch for all ranks together; PyTorch's SyncBatchNorm does not run on a CPU, so that lightly has none`,
  ],
  async plan(context) {
    const training = await epochTraining(context)
    const each = { devices: RANKS, threads: Math.max(1, Math.floor(context.threads / RANKS)) }
    const one = named('one process', ourTraining(context, training), {})
    const local = { ...each, syncBatchNorm: false }
    const ours = (settings: Record<string, unknown>): Side =>
      named('ours', ourTraining(context, training), settings)
    const lightly = peerTraining(training)
    const peer = {
      ...named('lightly', lightly, { ranks: RANKS }),
      program: 'peer/distributed.py',
    }
    const shared = { metric: IMAGES_PER_SECOND, better: 'more' } as const
    return [
      {
        title: `${RANKS} ranks, batch norm of each rank's own`,
        ...shared,
        sides: [ours(local), one],
        goals: [{ against: 'one process', ratio: 0.95 }],
      },
      {
        title: `${RANKS} ranks, synchronised batch norm`,
        ...shared,
        sides: [ours({ ...each, syncBatchNorm: true }), one],
        goals: [{ against: 'one process', ratio: 0.85 }],
      },
      {
        title: `${RANKS} ranks, batch norm of each rank's own`,
        ...shared,
        sides: [ours(local), peer],
        goals: [{ against: 'lightly', ratio: 2 }],
      },
    ]
  },
}
