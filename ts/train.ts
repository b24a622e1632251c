/**
 * Training, from a configuration to a run directory: read it beside the paper's algorithm in
 * `crate/src/step.rs`, which does one step.
 */

import { recordedSide, type Standing, saveCheckpoint } from './checkpoint.js'
import { resolveConfig, type TrainConfig } from './config.js'
import { rankEnvironment } from './distributed/environment.js'
import { checkDevices } from './distributed/join-ranks.js'
import { trainOnRanks } from './distributed/start-ranks.js'
import { NnclrError } from './errors.js'
import type { TrainEvent, TrainResult } from './events.js'
import { isolation, type RunOptions, trainInChild } from './isolate.js'
import { loadBatches } from './loader.js'
import { learningRate } from './schedule.js'
import { precisionOf } from './session.js'
import { BadPictures } from './train/bad-pictures.js'
import { Clock } from './train/clock.js'
import { sharesOf } from './train/epoch-plan.js'
import { scoreOf } from './train/evaluation.js'
import { NeighbourWarmup } from './train/neighbour-warmup.js'
import { type Prepared, prepare } from './train/prepare.js'
import { addStep, healthOf, meansOf, noSums, type Sums } from './train/sums.js'
import { TrainRun } from './train/train-run.js'

/**
 * Trains NNCLR (arXiv 2104.14548) on pictures and leaves a run directory behind.
 *
 * Returns at once: `await` the run for its result, `for await` over it for events. `signal` ends it
 * after the step under way, with a checkpoint; the result then has `stopped: true`. Never prints.
 *
 * With `devices` above 1 it starts so many processes, its ranks, which train together; the run, its
 * events and its directory are one. In a process that a launcher has started as a rank it joins the
 * other ranks: each calls `train` with the same configuration and gets the same result, rank 0 the events.
 *
 * @throws NnclrError (rejects) with `code`: CONFIG for a configuration with problems, all of them
 * listed; IO, DECODE, CHECKPOINT, DEVICE, DIVERGED, TORCH as named; PROCESS when a child process,
 * that of `{ isolate: true }` or a rank, ended before it was done; DISTRIBUTED naming the rank that
 * did not come, left or does not answer.
 *
 * @example
 * const { checkpoint, loss } = await train({ data: 'photos/', out: 'runs/first' })
 *
 * @example
 * const run = train({ data: 'photos/', out: 'runs/first', epochs: 10 })
 * for await (const event of run) if (event.type === 'epoch') console.log(event.epoch, event.loss)
 */
export function train(config: TrainConfig, options: RunOptions = {}): TrainRun {
  return new TrainRun(async (emit) => {
    const isolate = isolation(options)
    const { devices } = resolveConfig(config)
    const environment = rankEnvironment(process.env)
    if (environment !== null) checkDevices(devices, environment)
    else if (devices !== 'auto' && devices > 1) {
      // Who asks for ranks asks for processes, and not that they stand back.
      return trainOnRanks(config, isolate ?? { priority: 'normal' }, emit)
    }
    if (isolate !== null) return trainInChild(config, isolate, emit)
    const prepared = await prepare(config)
    const { isFirst } = prepared.ranks
    const result = await new Training(prepared, isFirst ? emit : () => {})
      .run()
      .catch(async (error: unknown) => {
        const known = NnclrError.from(error)
        // The cause is what the caller must see, whatever closing fails with.
        await prepared.close(known.message).catch(() => {})
        throw known
      })
    await prepared.close()
    return result
  })
}

/** One run under way. */
class Training {
  readonly #on: Prepared
  readonly #emit: (event: TrainEvent) => void
  readonly #clock: Clock
  readonly #bad: BadPictures
  readonly #steps: number
  readonly #neighbourWarmup: NeighbourWarmup
  /** Finished epochs, finished steps, and those of the epoch under way. */
  #epoch = 0
  #step = 0
  #stepInEpoch = 0
  #sums: Sums = noSums()
  #loss: number | null = null
  #knnTop1: number | null = null
  #evaluatedAt = -1
  #checkpoint: string | null = null
  #savedAt = -1
  /** Whether the ranks have agreed to stop. */
  #isStopped = false

  constructor(prepared: Prepared, emit: (event: TrainEvent) => void) {
    this.#on = prepared
    this.#emit = emit
    this.#clock = new Clock(prepared.ranks.worldSize)
    this.#steps = prepared.config.epochs * prepared.plan.steps
    const before = prepared.restored?.metadata
    const { directory, config, dataset } = prepared
    this.#neighbourWarmup = new NeighbourWarmup(config, this.#steps, before?.neighbourWarmup)
    this.#bad = new BadPictures(directory.badImages, config, dataset.length, before?.bad ?? [])
    if (before !== undefined) {
      this.#epoch = before.epoch
      this.#step = before.step
      this.#stepInEpoch = before.stepInEpoch
      this.#sums = { ...before.sums }
      this.#loss = before.loss
      this.#knnTop1 = before.knnTop1
      this.#checkpoint = prepared.restored?.path ?? null
      // Another side of compared pictures is written down even when no step follows.
      const isSameSide = recordedSide(before.config) === config.evaluation.imageSize
      this.#savedAt = isSameSide ? before.step : -1
      this.#evaluatedAt = before.evaluatedAt
    }
  }

  async run(): Promise<TrainResult> {
    const { config } = this.#on
    this.#start()
    // At step 0, and where a signal cut the evaluation of the epoch that just ended short.
    if (this.#isEvaluationDue && this.#evaluatedAt !== this.#step) await this.#evaluate()
    while (this.#epoch < config.epochs && !(await this.#agreeToStop())) {
      const isWhole = await this.#runEpoch()
      if (!isWhole) break
      await this.#endEpoch()
    }
    return this.#finish()
  }

  /** Whether this rank was asked to stop. */
  get #isAsked(): boolean {
    return this.#on.config.signal?.aborted === true
  }

  /** Whether any rank was, so that all stop in the same place. */
  async #agreeToStop(): Promise<boolean> {
    this.#isStopped ||= await this.#on.ranks.any(this.#isAsked)
    return this.#isStopped
  }

  /** Whether it stands at an epoch's end that is evaluated. */
  get #isEvaluationDue(): boolean {
    const { every } = this.#on.config.evaluation
    return this.#stepInEpoch === 0 && every > 0 && this.#epoch % every === 0
  }

  /** The steps of an epoch, from where it stands; false when the signal ended it before its end. */
  async #runEpoch(): Promise<boolean> {
    const { config, ranks, session, loader, indices, plan } = this.#on
    const { neighbourWeight } = config
    const epoch = this.#epoch
    const shares = sharesOf(this.#on, epoch, this.#stepInEpoch)
    this.#clock.startEpoch()
    for await (const batch of loadBatches(loader, shares, epoch)) {
      this.#clock.gotBatch()
      this.#bad.meet(batch.bad)
      // Alone at once, before the step; on ranks the step tells all of them that there are some.
      if (ranks.worldSize === 1 && this.#bad.untold > 0) await this.#tellBad()
      const lr = learningRate(config, this.#step, this.#steps)
      const positive = this.#neighbourWarmup.positive(this.#step)
      const numbers = await session
        .step(batch, { lr, positive, neighbourWeight, stop: this.#isAsked, news: this.#bad.untold })
        .catch((error) => this.#explain(error))
      addStep(this.#sums, numbers)
      this.#neighbourWarmup.observe(numbers)
      const left = indices.length - this.#stepInEpoch * config.batchSize
      this.#step += 1
      this.#stepInEpoch += 1
      this.#clock.finishedStep(Math.min(config.batchSize, left), numbers)
      if (numbers.news > 0) await this.#tellBad()
      await ranks.checkBanks(session, this.#step)
      if (this.#step % config.logEverySteps === 0) this.#report(numbers)
      this.#isStopped = ranks.isStop(this.#isAsked, numbers.stop)
      if (this.#isStopped) return this.#stepInEpoch === plan.steps
      const { everySteps } = config.checkpoint
      // The end of an epoch saves for itself.
      const isDue = everySteps > 0 && this.#step % everySteps === 0
      if (isDue && this.#stepInEpoch < plan.steps) await this.#save()
      this.#clock.wantsBatch()
    }
    return true
  }

  async #endEpoch(): Promise<void> {
    const { config, dataset, directory } = this.#on
    const means = meansOf(this.#sums, dataset.labels !== null)
    const bankFilled = Math.min(1, (this.#step * config.batchSize) / config.memoryBank.size)
    this.#epoch += 1
    this.#stepInEpoch = 0
    this.#sums = noSums()
    this.#loss = means.loss
    const numbers = { epoch: this.#epoch, step: this.#step, ...means, bankFilled }
    const timing = this.#clock.epochTiming()
    directory.metrics.append({ type: 'epoch', ...numbers })
    directory.timing.append({ type: 'epoch', epoch: this.#epoch, step: this.#step, ...timing })
    this.#emit({ type: 'epoch', epochs: config.epochs, ...numbers, ...timing })
    if (this.#isEvaluationDue) await this.#evaluate()
    const { everyEpochs } = config.checkpoint
    if (everyEpochs > 0 && this.#epoch % everyEpochs === 0) await this.#save()
  }

  async #finish(): Promise<TrainResult> {
    const { config, ranks, directory, session } = this.#on
    const isDone = this.#epoch >= config.epochs
    if (isDone && this.#evaluatedAt !== this.#step) await this.#evaluate()
    if (this.#savedAt !== this.#step) await this.#save()
    const exported = await directory.use(async ({ backbonePath }) => {
      if (!isDone) return null
      await session.exportBackbone(backbonePath, this.#backboneMetadata())
      return backbonePath
    })
    const result = await ranks.fromFirst<TrainResult>(async () => ({
      out: directory.path,
      checkpoint: this.#checkpoint,
      epochs: this.#epoch,
      steps: this.#step,
      loss: this.#loss ?? meansOf(this.#sums, false).loss,
      knnTop1: this.#knnTop1,
      stopped: !isDone,
      badImages: this.#bad.count,
      exported,
      seconds: this.#clock.seconds,
    }))
    await directory.use((own) => own.flush())
    this.#emit({ type: 'end', result })
    return result
  }

  /** kNN against the validation pictures, where there are some; a signal ends it without a score. */
  async #evaluate(): Promise<void> {
    const { config, validation, directory } = this.#on
    if (validation === null || config.evaluation.every === 0) return
    const score = await scoreOf(this.#on, validation, this.#bad)
    await this.#tellBad()
    if (score === null) {
      this.#isStopped = true
      return
    }
    const { top1: knnTop1, ...counts } = score
    this.#knnTop1 = knnTop1
    this.#evaluatedAt = this.#step
    const event = {
      type: 'evaluation',
      epoch: this.#epoch,
      step: this.#step,
      knnTop1,
      ...counts,
      imageSize: config.evaluation.imageSize,
    } as const
    directory.metrics.append(event)
    this.#emit(event)
  }

  async #save(): Promise<void> {
    const { config, session, directory, dataset } = this.#on
    const standing: Standing = {
      epoch: this.#epoch,
      step: this.#step,
      stepInEpoch: this.#stepInEpoch,
      sums: this.#sums,
      neighbourWarmup: this.#neighbourWarmup.state,
      loss: this.#loss,
      knnTop1: this.#knnTop1,
      evaluatedAt: this.#evaluatedAt,
      bad: this.#bad.indices,
      fingerprint: dataset.fingerprint,
    }
    this.#checkpoint = await directory.use((own) => saveCheckpoint(own, session, config, standing))
    this.#savedAt = this.#step
    const [epoch, step, path] = [this.#epoch, this.#step, this.#checkpoint]
    this.#emit({ type: 'checkpoint', path, epoch, step })
  }

  #start(): void {
    const { config, ranks, indices, dataset, session, notes } = this.#on
    this.#emit({
      type: 'start',
      config: config as never,
      pictures: indices.length,
      classes: dataset.classes,
      steps: this.#steps,
      resumedAt: this.#step,
      ranks: ranks.worldSize,
      device: session.device,
      precision: precisionOf({ ...config, device: session.device }),
    })
    for (const note of notes) this.#warn('NOTE', note)
  }

  #report(numbers: Parameters<typeof healthOf>[0]): void {
    const { config, directory } = this.#on
    const [epoch, step] = [this.#epoch + 1, this.#step]
    const { loss, lr } = numbers
    const health = healthOf(numbers, config.memoryBank.size)
    const timing = this.#clock.stepTiming(this.#steps - step)
    directory.metrics.append({ type: 'step', epoch, step, loss, lr, ...health })
    directory.timing.append({ type: 'step', epoch, step, ...timing })
    this.#emit({ type: 'step', epoch, step, steps: this.#steps, loss, lr, ...health, ...timing })
  }

  /** Lists the pictures that ranks could not read since the last time. */
  async #tellBad(): Promise<void> {
    for (const { path, reason } of await this.#bad.tell(this.#on.ranks)) {
      this.#warn('DATA', `${path} was skipped: ${reason}`)
    }
  }

  #warn(code: string, message: string): void {
    this.#emit({ type: 'warning', code, message })
  }

  /** A loss that is no number ends the run; the weights of the last checkpoint are still good. */
  #explain(error: unknown): never {
    const known = NnclrError.from(error)
    if (!(known instanceof NnclrError) || known.code !== 'DIVERGED') throw known
    const kept = this.#checkpoint ?? 'none was written yet'
    const message = `${known.message} at step ${this.#step + 1}; try a lower lr or a longer warm-up; last good checkpoint: ${kept}`
    throw new NnclrError('DIVERGED', 'loss', message, { cause: error })
  }

  #backboneMetadata(): string {
    const { backbone, stem, evaluation, precision } = this.#on.config
    // The side at which pictures are compared.
    const { imageSize } = evaluation
    return JSON.stringify({ kind: 'backbone', config: { backbone, stem, imageSize, precision } })
  }
}
