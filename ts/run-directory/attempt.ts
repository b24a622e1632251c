/** File operations whose errors name action and path. */

import { NnclrError } from '../errors.js'

/** Runs `work`. @throws NnclrError IO `cannot <action> <path>: ...`. */
export async function attempt<T>(action: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw NnclrError.io(action, path, error)
  }
}
