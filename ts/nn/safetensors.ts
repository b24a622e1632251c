/** State dictionaries in safetensors files, for weights that travel to and from Python. */

import { guarded, native } from '../native.js'
import { Tensor } from '../tensor.js'
import type { StateDict } from './module.js'

/** Reads every tensor of a safetensors file. @throws NnclrError IO, CHECKPOINT. */
export async function loadSafetensors(path: string): Promise<StateDict> {
  const named = await guarded(() => native.loadTensors(path))
  return new Map(named.map(({ name, tensor }) => [name, new Tensor(tensor)]))
}

/** Writes a state dictionary, whole or not at all. @throws NnclrError IO. */
export async function saveSafetensors(path: string, state: StateDict): Promise<void> {
  const handles = [...state.values()].map(({ handle }) => handle)
  await guarded(() => native.saveTensors(path, [...state.keys()], handles))
}
