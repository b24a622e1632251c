/** What the page shows of a training, made of its events. Pure: no document, no app. */

import type { DesktopEvent } from '../../src/api.js'

/** A point of a line. */
export type Point = readonly [step: number, loss: number]

/** Everything that is shown of a training. */
export interface Progress {
  readonly state: 'idle' | 'running' | 'done' | 'stopped' | 'failed'
  /** One sentence. */
  readonly sentence: string
  /** Share that is done, 0 to 1. */
  readonly share: number
  /** Loss of each step. */
  readonly steps: readonly Point[]
  /** Mean loss of each epoch, at its last step. */
  readonly epochs: readonly Point[]
  readonly warnings: readonly string[]
}

/** Before anything. */
export const IDLE: Progress = {
  state: 'idle',
  sentence: 'nothing is under way',
  share: 0,
  steps: [],
  epochs: [],
  warnings: [],
}

/** As many points as a chart of this width can show; beyond, every other one goes. */
const MOST_POINTS = 960

/** What is shown after one more event. */
export function advance(before: Progress, event: DesktopEvent): Progress {
  switch (event.type) {
    case 'start': {
      const again = event.resumedAt > 0 ? `, going on at step ${event.resumedAt}` : ''
      const sentence = `training on ${event.pictures} pictures on ${event.device}${again}`
      return { ...IDLE, state: 'running', sentence, share: event.resumedAt / event.steps }
    }
    case 'step': {
      const { step, steps, loss, imagesPerSecond, secondsLeft } = event
      const speed = `${Math.round(imagesPerSecond)} pictures/s`
      const sentence = `step ${step} of ${steps}, loss ${loss.toFixed(3)}, ${speed}, ${inWords(secondsLeft)} left`
      const points = thinned([...before.steps, [step, loss] as const])
      return { ...before, sentence, share: step / steps, steps: points }
    }
    case 'epoch':
      return { ...before, epochs: [...before.epochs, [event.step, event.loss]] }
    case 'warning':
      return { ...before, warnings: [...before.warnings, event.message] }
    case 'failed':
      return { ...before, state: 'failed', sentence: `${event.code}: ${event.message}` }
    case 'end': {
      const { stopped, epochs, loss } = event.result
      const state = stopped ? 'stopped' : 'done'
      const sentence = stopped
        ? `stopped after ${epochs} whole epochs, with a checkpoint`
        : `done: ${epochs} epochs, loss ${loss.toFixed(3)}`
      return { ...before, state, sentence, share: stopped ? before.share : 1 }
    }
    default:
      return before
  }
}

function thinned(points: readonly Point[]): readonly Point[] {
  return points.length <= MOST_POINTS ? points : points.filter((_, i) => i % 2 === 1)
}

function inWords(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}
