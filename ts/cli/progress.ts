/**
 * Events of a run as a person reads them: on a terminal one line that is rewritten, elsewhere a line
 * for each epoch and one about every ten seconds. Warnings go to standard error.
 */

import { configRecord } from '../config.js'
import type { EpochEvent, NeighbourHealth, StartEvent, StepEvent, TrainEvent } from '../events.js'
import type { Terminal } from './terminal.js'
import { count, counted, duration, percent, rate } from './words.js'

/** Tells the events of one run. */
export interface Reporter {
  event(event: TrainEvent): void
  /** A line to standard error, without spoiling a progress line. */
  note(text: string): void
}

/** Between two lines about steps where lines cannot be rewritten, milliseconds. */
const PLAIN_INTERVAL = 10_000
/** Between two redrawings of the progress line, milliseconds. */
const REDRAW_INTERVAL = 100

/** Every event as one line of JSON on standard output, and nothing else there. */
export function jsonReporter(terminal: Terminal): Reporter {
  return {
    event: (event) => terminal.out(`${JSON.stringify(forJson(event))}\n`),
    note: (text) => terminal.err(`${text}\n`),
  }
}

/** For people. */
export function textReporter(terminal: Terminal): Reporter {
  const { interactive } = terminal
  let line = ''
  let spoken = terminal.now()
  let epochs = 0
  const clear = () => (interactive && line !== '' ? '\r\x1b[K' : '')
  const say = (text: string) => {
    terminal.out(`${clear()}${text}\n`)
    line = ''
    spoken = terminal.now()
  }
  const step = (event: StepEvent) => {
    const isFirst = line === '' && interactive
    if (!isFirst && terminal.now() - spoken < (interactive ? REDRAW_INTERVAL : PLAIN_INTERVAL))
      return
    const parts = stepParts(event, epochs)
    if (!interactive) return say(parts.join(' · '))
    terminal.out(`${clear()}${fitting(parts, terminal.columns() - 1)}`)
    line = 'drawn'
    spoken = terminal.now()
  }
  const note = (text: string) => {
    if (clear() !== '') terminal.out(clear())
    line = ''
    terminal.err(`${text}\n`)
  }
  return {
    event: (event) => {
      if (event.type === 'start') epochs = event.config.epochs
      if (event.type === 'step') step(event)
      else if (event.type === 'warning') note(`warning: ${event.message}`)
      else for (const text of tell(event)) say(text)
    },
    note,
  }
}

/** Lines for the events that are told once. Checkpoints are told at the end, by path. */
function tell(event: Exclude<TrainEvent, { type: 'step' | 'warning' }>): string[] {
  switch (event.type) {
    case 'start':
      return [startLine(event)]
    case 'epoch':
      return [epochLine(event)]
    case 'evaluation':
      return [
        `  kNN top-1 ${percent(event.knnTop1, 1)} (${count(event.queries)} pictures against ${count(event.references)}, k ${event.k})`,
      ]
    case 'checkpoint':
      return []
    case 'end': {
      const { result } = event
      const knn = result.knnTop1 === null ? '' : `, kNN top-1 ${percent(result.knnTop1, 1)}`
      const verb = result.stopped ? 'stopped' : 'done'
      return [
        `${verb} after ${duration(result.seconds)}: ${counted(result.epochs, 'epoch')}, ${counted(result.steps, 'step')}, loss ${loss(result.loss)}${knn}`,
        ...(result.badImages > 0
          ? [
              `  unreadable pictures: ${count(result.badImages)}, listed in ${result.out}/bad-images.jsonl`,
            ]
          : []),
        ...(result.checkpoint === null ? [] : [`  checkpoint: ${result.checkpoint}`]),
        ...(result.exported === null ? [] : [`  backbone:   ${result.exported}`]),
      ]
    }
  }
}

function startLine({ config, pictures, steps, resumedAt, device, precision }: StartEvent): string {
  const resumed = resumedAt > 0 ? `, going on from step ${count(resumedAt)}` : ''
  return `training ${config.backbone} on ${counted(pictures, 'picture')} of ${config.imageSize} px: ${counted(config.epochs, 'epoch')}, ${counted(steps, 'step')}, on ${device} in ${precision}${resumed}`
}

function epochLine(event: EpochEvent): string {
  return [
    `epoch ${event.epoch}/${event.epochs}`,
    `loss ${loss(event.loss)}`,
    `${rate(event.imagesPerSecond)} images/s`,
    duration(event.seconds),
    `data wait ${percent(event.dataWait)}`,
    healthWords(event),
  ].join(' · ')
}

/** The most wanted first: what does not fit is left off from the end. */
function stepParts(event: StepEvent, epochs: number): string[] {
  return [
    `epoch ${event.epoch}${epochs > 0 ? `/${epochs}` : ''} ${percent(event.step / event.steps)}`,
    `loss ${loss(event.loss)}`,
    `${duration(event.secondsLeft)} left`,
    `${rate(event.imagesPerSecond)} images/s`,
    `data wait ${percent(event.dataWait)}`,
    healthWords(event),
  ]
}

function healthWords(health: NeighbourHealth): string {
  const sameClass =
    health.sameClassRate === null ? '' : `, same class ${percent(health.sameClassRate)}`
  return `neighbours: similarity ${unsignedZero(health.neighbourSimilarity.toFixed(2))}, unique ${percent(health.uniqueNeighbours)}${sameClass}`
}

function fitting(parts: readonly string[], width: number): string {
  let text = ''
  for (const part of parts) {
    const longer = text === '' ? part : `${text} · ${part}`
    if (longer.length > width) break
    text = longer
  }
  return text === '' ? (parts[0] ?? '').slice(0, Math.max(0, width)) : text
}

/** `-0.00` only makes people wonder. */
function unsignedZero(text: string): string {
  return text.replace(/^-(?=[0.]+$)/, '')
}

function loss(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3) : String(value)
}

/** The signal is no data; the configuration goes out as it stands in config.json. */
function forJson(event: TrainEvent): unknown {
  return event.type === 'start' ? { ...event, config: configRecord(event.config) } : event
}
