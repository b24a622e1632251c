/** Where a run begins: fresh weights, given ones, or a checkpoint. Rank 0 does it, with its directory. */

import { type CheckpointMetadata, restoreNewest } from '../checkpoint.js'
import { configRecord, type FittedConfig, type ResolvedConfig } from '../config.js'
import type { Dataset } from '../data/dataset.js'
import { native, type Session } from '../native.js'
import type { RunDirectory } from '../run-directory.js'

/** The checkpoint that a run goes on from. */
export interface Beginning {
  readonly path: string
  readonly metadata: CheckpointMetadata
}

/**
 * Brings the session to where the run stands, and the directory's files to the same moment; null for a
 * run that starts anew. What a person should know is added to `notes`.
 *
 * @throws NnclrError CHECKPOINT when there are some and none can be used, IO.
 */
export async function begin(
  directory: RunDirectory,
  session: Session,
  { weights }: Pick<FittedConfig, 'weights'>,
  { fingerprint }: Pick<Dataset, 'fingerprint'>,
  notes: string[],
): Promise<Beginning | null> {
  const restored = directory.resumed ? await restoreNewest(directory, session) : null
  if (restored === null) {
    // Killed before its first checkpoint: the run starts anew, and so do its files.
    if (directory.resumed) await directory.truncate({ metrics: 0, timing: 0, badImages: 0 })
    if (weights !== null) await startFrom(weights, session, notes)
    return null
  }
  const { path, metadata, broken } = restored
  for (const error of broken) notes.push(`${error.message}; going on from the checkpoint before it`)
  if (metadata.fingerprint !== fingerprint) {
    notes.push('data is another set of pictures than the one the run began with')
  }
  for (const short of await directory.truncate(metadata.position)) {
    notes.push(`${short} lacks lines that the checkpoint had counted`)
  }
  return { path, metadata }
}

async function startFrom(weights: string, session: Session, notes: string[]): Promise<void> {
  const unexpected = await session.importBackbone(weights)
  if (unexpected.length > 0) {
    const shown = unexpected.slice(0, 5).join(', ') + (unexpected.length > 5 ? ' ...' : '')
    notes.push(
      `${weights} also holds ${unexpected.length} tensors that are not the backbone's: ${shown}`,
    )
  }
}

/** config.json: what was asked for (a resume starts from it) and what it came to. */
export async function configFile(
  config: FittedConfig,
  resolved: ResolvedConfig,
  { device }: Pick<Session, 'device'>,
  dataset: Dataset,
  { pictures, ranks }: { readonly pictures: number; readonly ranks: number },
): Promise<Record<string, unknown>> {
  const { version, torch, threads } = await native.nativeInfo()
  return {
    versions: { nnclr: version, libtorch: torch, node: process.versions.node },
    config: configRecord(resolved),
    settled: {
      batchSize: config.batchSize,
      lr: config.lr,
      memoryBank: config.memoryBank,
      evaluation: config.evaluation,
      ranks,
      device,
      threads,
      pictures,
      dataset: dataset.kind,
      fingerprint: dataset.fingerprint,
    },
  }
}
