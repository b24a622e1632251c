/** What goes on the page of a finished demo. */

import { duration, percent, rate } from '../../ts/cli/words.js'
import { configRecord } from '../../ts/config.js'
import { type ResolvedConfig, systemInfo } from '../../ts/index.js'
import type { Report } from '../../ts/report/report.js'
import { curvesOf } from './curves.js'
import type { Learned } from './learn.js'
import { viewPairs } from './pictures.js'
import { type Answer, type Study, spread } from './study.js'

const VIEWS_SHOWN = 12

/** The page's content. */
export async function pageOf(
  { title, lead, dataset }: Study,
  learned: Learned,
  answer: Answer,
): Promise<Report> {
  const start = learned.events.find((event) => event.type === 'start')
  if (start === undefined) throw new Error('the run has not begun')
  const { transform, imageSize, seed } = start.config
  return {
    title,
    lead,
    scores: answer.scores,
    charts: curvesOf(learned.events),
    views: await viewPairs(
      dataset,
      spread(VIEWS_SHOWN, dataset.length),
      transform,
      imageSize,
      seed,
    ),
    rows: answer.rows,
    rowsNote: answer.rowsNote,
    facts: await factsOf(start.config, learned, start.device, start.precision),
    settings: configRecord(start.config),
  }
}

async function factsOf(
  config: ResolvedConfig,
  { result, events }: Learned,
  device: string,
  precision: string,
): Promise<Record<string, string>> {
  const system = await systemInfo()
  const epochs = events.filter((event) => event.type === 'epoch')
  const speed =
    epochs.reduce((sum, { imagesPerSecond }) => sum + imagesPerSecond, 0) / epochs.length
  const wait = epochs.reduce((sum, { dataWait }) => sum + dataWait, 0) / epochs.length
  return {
    network: `${config.backbone}, ${config.stem} stem, views of ${config.imageSize} px`,
    training: `${result.epochs} epochs, ${result.steps} steps of ${config.batchSize} pictures, ${duration(result.seconds)}`,
    speed: `${rate(speed)} pictures/s, ${percent(wait)} of the time waiting for data`,
    'learning rate': `${config.lr}, ${config.optimizer}, temperature ${config.temperature}, seed ${config.seed}`,
    machine: `${device} in ${precision}, ${system.threads} threads, ${system.processor}`,
    versions: `nnclr ${system.version}, libtorch ${system.torch}, Node ${system.node} on ${system.platform}`,
  }
}
