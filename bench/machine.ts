/** What the numbers were measured on. */

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Instruction sets that decide how fast libtorch is. */
const FLAGS = ['avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_tile', 'amx_bf16']
/** A second program that computes shows in both sides' numbers, but not alike. */
const BUSY = 0.3

/** The machine, and the state of the clone. */
export interface MachineReport {
  readonly processor: string
  readonly cores: number
  readonly memoryGiB: number
  /** Those of `FLAGS` that the processor has; empty where the system does not tell. */
  readonly flags: readonly string[]
  readonly system: string
  readonly node: string
  /** Commit, with `+` when files differ from it. */
  readonly commit: string
  /** Mean number of running programs over the last minute, before the benchmark. */
  readonly load: number
}

/** Looks at the machine. */
export async function describeMachine(): Promise<MachineReport> {
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    flags: flagsIn(await readFile('/proc/cpuinfo', 'utf8').catch(() => '')),
    system: `${process.platform} ${process.arch} ${release()}`,
    node: process.versions.node,
    commit: await commit(),
    load: loadavg()[0] ?? 0,
  }
}

/** The instruction sets named in the text of /proc/cpuinfo. */
export function flagsIn(cpuinfo: string): string[] {
  const all = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(/\s+/) ?? [])
  return FLAGS.filter((flag) => all.has(flag))
}

/** Whether bf16 is multiplied in hardware. */
export function hasBf16({ flags }: Pick<MachineReport, 'flags'>): boolean {
  return flags.includes('avx512_bf16') || flags.includes('amx_bf16')
}

/** What to say when the machine is not idle. */
export function busyNotes({ load, cores }: Pick<MachineReport, 'load' | 'cores'>): string[] {
  if (load <= BUSY * cores) return []
  return [`the machine was not idle before the start: load ${load.toFixed(2)} on ${cores} cores`]
}

async function commit(): Promise<string> {
  const git = async (...words: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)('git', words, { cwd: ROOT })
    return stdout.trim()
  }
  try {
    const hash = await git('rev-parse', '--short', 'HEAD')
    return (await git('status', '--porcelain')) === '' ? hash : `${hash}+`
  } catch {
    return 'unknown'
  }
}
