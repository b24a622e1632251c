/** The kNN score of a run: its validation pictures against its training pictures, on all ranks. */

import { isAbort } from '../errors.js'
import { type KnnScore, knnScore } from '../evaluate.js'
import type { BadPictures } from './bad-pictures.js'
import type { Prepared, Validation } from './prepare.js'

/**
 * Takes it; null when a signal ended it, on any rank, and then on all at the same batch. Pictures that
 * this rank could not read are added to `bad`, not yet told to the others.
 */
export async function scoreOf(
  { config, ranks, session, dataset }: Prepared,
  { references, queries, classes, isSeparate }: Validation,
  bad: BadPictures,
): Promise<KnnScore | null> {
  // Another set's places are counted after those of the training pictures.
  const first = isSeparate ? dataset.length : 0
  const { signal, evaluation } = config
  try {
    return await knnScore(
      session,
      { ...references, onBad: (met) => bad.meet(met) },
      { ...queries, onBad: (met) => bad.meet(met, first) },
      { ...evaluation, classes },
      signal,
      ranks,
    )
  } catch (error) {
    if (isAbort(error) || (signal?.aborted === true && error === signal.reason)) return null
    throw error
  }
}
