// What a case may say.
import { tail } from './machine.mjs'

/** It trained, ended by itself, with code 0 and without a word of complaint. */
export function trained(ended) {
  const { code, signal, stdout, stderr } = ended
  if (code !== 0 || signal !== null)
    throw new Error(`ended with ${signal ?? `code ${code}`}: ${tail(stderr || stdout)}`)
  if (!/^trained, loss \d+\.\d+\n$/.test(stdout)) throw new Error(`said ${tail(stdout)}`)
  if (stderr !== '') throw new Error(`complained: ${tail(stderr)}`)
}

/** It ended with code 1 and an error of code LOAD whose message matches, not in a crash. */
export function refused(ended, message) {
  const { code, signal, stderr } = ended
  if (code !== 1 || signal !== null)
    throw new Error(`ended with ${signal ?? `code ${code}`}, expected code 1: ${tail(stderr)}`)
  // A bundler may rename the class.
  const line = /^_?NnclrError: (.*)$/m.exec(stderr)?.[1] ?? ''
  if (!message.test(line)) throw new Error(`said "${line || tail(stderr)}", expected ${message}`)
  if (!/code: 'LOAD'/.test(stderr)) throw new Error(`the error has no code LOAD: ${tail(stderr)}`)
}
