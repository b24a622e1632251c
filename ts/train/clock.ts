/** Wall-clock numbers of a run: speed, the share of time spent waiting for data, time left. */

/** Times of an epoch. */
export interface EpochTiming {
  readonly seconds: number
  readonly imagesPerSecond: number
  readonly dataWait: number
}

/** Times since the last report. */
export interface StepTiming {
  readonly imagesPerSecond: number
  readonly dataWait: number
  readonly secondsLeft: number
}

interface Span {
  from: number
  waited: number
  images: number
  steps: number
}

/** Told what happens, says how long it took. */
export class Clock {
  readonly #begun: number = performance.now()
  #waitsSince = 0
  #epoch: Span = span()
  #report: Span = span()

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

  finishedStep(images: number): void {
    for (const span of [this.#epoch, this.#report]) {
      span.images += images
      span.steps += 1
    }
    this.wantsBatch()
  }

  /** Speed since the last call, and the time that `stepsLeft` steps will take at it. */
  stepTiming(stepsLeft: number): StepTiming {
    const seconds = elapsed(this.#report)
    const { steps } = this.#report
    const timing = {
      ...rates(this.#report),
      secondsLeft: (seconds / Math.max(1, steps)) * stepsLeft,
    }
    this.#report = span()
    return timing
  }

  epochTiming(): EpochTiming {
    return { seconds: elapsed(this.#epoch), ...rates(this.#epoch) }
  }
}

function span(): Span {
  return { from: performance.now(), waited: 0, images: 0, steps: 0 }
}

function elapsed({ from }: Span): number {
  return Math.max(1e-6, (performance.now() - from) / 1000)
}

function rates(of: Span): { imagesPerSecond: number; dataWait: number } {
  const seconds = elapsed(of)
  return { imagesPerSecond: of.images / seconds, dataWait: Math.min(1, of.waited / 1000 / seconds) }
}
