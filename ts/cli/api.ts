/** What the commands use of nnclr; the real thing is `index.ts`, tests hand in their own. */

import type { embed, knn, systemInfo, train } from '../index.js'

/** The functions behind the commands. */
export interface Api {
  readonly train: typeof train
  readonly embed: typeof embed
  readonly knn: typeof knn
  readonly systemInfo: typeof systemInfo
}

/** Gives the api; asked for only when a command needs the native library. */
export type LoadApi = () => Promise<Api>
