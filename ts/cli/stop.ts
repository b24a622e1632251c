/**
 * Stopping by signal. The first SIGINT or SIGTERM asks for an orderly end, which for training is a
 * checkpoint after the current step; the second ends the process at once.
 */

import { EXIT } from './terminal.js'

/** What sends signals: `process`, or a stand-in of a test. */
export interface SignalSource {
  on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  off(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
}

/** A watch for signals. */
export interface StopWatch {
  /** Aborted at the first signal. */
  readonly signal: AbortSignal
  /** The exit code that the first signal asks for; null when there was none. */
  exitCode(): number | null
  /** Asks for the orderly end, as a signal would. */
  stop(exitCode: number): void
  /** Stops listening: the signals do again what they do by default. */
  [Symbol.dispose](): void
}

/** Listens until disposed. `announce` is called at the first signal, `exit` at the second. */
export function watchForStop(
  source: SignalSource,
  announce: (name: string) => void,
  exit: (code: number) => void,
): StopWatch {
  const controller = new AbortController()
  let code: number | null = null
  const stop = (wanted: number) => {
    code ??= wanted
    controller.abort()
  }
  const listener = (name: string, wanted: number) => () => {
    if (code !== null) return exit(wanted)
    stop(wanted)
    announce(name)
  }
  const onInterrupt = listener('SIGINT', EXIT.interrupted)
  const onTerminate = listener('SIGTERM', EXIT.terminated)
  source.on('SIGINT', onInterrupt)
  source.on('SIGTERM', onTerminate)
  return {
    signal: controller.signal,
    exitCode: () => code,
    stop,
    [Symbol.dispose]: () => {
      source.off('SIGINT', onInterrupt)
      source.off('SIGTERM', onTerminate)
    },
  }
}
