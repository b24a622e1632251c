/** Wall-clock numbers of a run: speed, the share of time spent waiting for data, time left. */

import type { Communication } from '../events.js'
import type { StepNumbers } from '../native.js'

/** Times of an epoch. */
export interface EpochTiming {
  readonly seconds: number
  readonly imagesPerSecond: number
  readonly dataWait: number
  readonly communication: Communication | null
}

/** Times since the last report. */
export interface StepTiming {
  readonly imagesPerSecond: number
  readonly dataWait: number
  readonly communication: Communication | null
  readonly secondsLeft: number
}

interface Span {
  from: number
  waited: number
  images: number
  steps: number
  bytes: number
  communicating: number
  averaging: number
  overlap: number
}

/** What a step tells of the ranks' messages. */
export type StepTraffic = Pick<
  StepNumbers,
  'communicatedBytes' | 'communicationSeconds' | 'averagingSeconds' | 'overlapSeconds'
>

/** Told what happens, says how long it took. */
export class Clock {
  readonly #begun: number = performance.now()
  readonly #isAlone: boolean
  #waitsSince = 0
  #epoch: Span = span()
  #report: Span = span()

  /** `worldSize`: ranks that train. */
  constructor(worldSize: number) {
    this.#isAlone = worldSize === 1
  }

  /** Seconds since the run began. */
  get seconds(): number {
    return (performance.now() - this.#begun) / 1000
  }

  startEpoch(): void {
    this.#epoch = span()
    this.#report = span()
    this.wantsBatch()
  }

  wantsBatch(): void {
    this.#waitsSince = performance.now()
  }

  gotBatch(): void {
    const waited = performance.now() - this.#waitsSince
    this.#epoch.waited += waited
    this.#report.waited += waited
  }

  /** `images`: of all ranks. */
  finishedStep(images: number, step: StepTraffic): void {
    for (const span of [this.#epoch, this.#report]) {
      span.images += images
      span.steps += 1
      span.bytes += step.communicatedBytes
      span.communicating += step.communicationSeconds
      span.averaging += step.averagingSeconds
      span.overlap += step.overlapSeconds
    }
    this.wantsBatch()
  }

  /** Speed since the last call, and the time that `stepsLeft` steps will take at it. */
  stepTiming(stepsLeft: number): StepTiming {
    const seconds = elapsed(this.#report)
    const { steps } = this.#report
    const timing = {
      ...this.#rates(this.#report),
      secondsLeft: (seconds / Math.max(1, steps)) * stepsLeft,
    }
    this.#report = span()
    return timing
  }

  epochTiming(): EpochTiming {
    return { seconds: elapsed(this.#epoch), ...this.#rates(this.#epoch) }
  }

  #rates(of: Span): Omit<EpochTiming, 'seconds'> {
    const seconds = elapsed(of)
    const steps = Math.max(1, of.steps)
    const communication = {
      bytesPerStep: of.bytes / steps,
      secondsPerStep: of.communicating / steps,
      share: Math.min(1, of.communicating / seconds),
      overlap: of.averaging > 0 ? of.overlap / of.averaging : null,
    }
    return {
      imagesPerSecond: of.images / seconds,
      dataWait: Math.min(1, of.waited / 1000 / seconds),
      communication: this.#isAlone ? null : communication,
    }
  }
}

function span(): Span {
  return {
    from: performance.now(),
    waited: 0,
    images: 0,
    steps: 0,
    bytes: 0,
    communicating: 0,
    averaging: 0,
    overlap: 0,
  }
}

function elapsed({ from }: Span): number {
  return Math.max(1e-6, (performance.now() - from) / 1000)
}
