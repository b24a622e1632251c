/** Checkpoints written by the tests' own hand: whole files with other content. */

import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { partsOf } from './fixtures-runs.js'

/** What to change before a checkpoint is put together again. */
export interface Rewrite {
  /** Gets the metadata of the safetensors header; the checksum is made anew afterwards. */
  readonly metadata?: (fields: Record<string, string>) => void
  /** Gets each tensor's bytes, to change in place. */
  readonly tensor?: (name: string, bytes: Buffer) => void
  /** Tensors to leave out. */
  readonly without?: string
}

/** Rewrites a checkpoint in place, with a checksum that fits its new content. */
export async function rewriteCheckpoint(path: string, change: Rewrite): Promise<void> {
  const { tensors, metadata } = await partsOf(path)
  if (change.without !== undefined) tensors.delete(change.without)
  const fields = { ...metadata }
  change.metadata?.(fields)
  const entries: Record<string, unknown> = {}
  const blobs: Buffer[] = []
  let at = 0
  for (const [name, { dtype, shape, bytes }] of tensors) {
    const own = Buffer.from(bytes)
    change.tensor?.(name, own)
    entries[name] = { dtype, shape, data_offsets: [at, at + own.length] }
    blobs.push(own)
    tensors.set(name, { dtype, shape, bytes: own })
    at += own.length
  }
  fields['sha256'] = checksum(tensors, fields['nnclr'] ?? '')
  const text = JSON.stringify({ __metadata__: fields, ...entries })
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  await writeFile(path, Buffer.concat([length, header, ...blobs]))
}

/** Puts other bytes in a file's place. */
export async function damage(path: string, change: (file: Buffer) => Buffer): Promise<void> {
  await writeFile(path, change(await readFile(path)))
}

/** The checksum's definition, written down a second time. */
function checksum(
  tensors: ReadonlyMap<string, { dtype: string; shape: number[]; bytes: Buffer }>,
  metadata: string,
): string {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(metadata)))
  const hash = createHash('sha256').update(length).update(metadata)
  const sorted = [...tensors].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  for (const [name, { dtype, shape, bytes }] of sorted) {
    hash.update(`${name} ${dtype} [${shape.join(', ')}]\n`).update(bytes)
  }
  return hash.digest('hex')
}
