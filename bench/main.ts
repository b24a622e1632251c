/** `npm run bench`: nnclr and the reference in turn, on the same pictures, threads and settings. */

import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type MeasureResult, runMeasure } from './campaign.js'
import { busyNotes, describeMachine, hasBf16, type MachineReport } from './machine.js'
import type { Context, Measure } from './measure.js'
import { KNOWN, measureLines, selected } from './measures.js'
import { type BenchOptions, help, readOptions } from './options.js'
import { openPeer, type Peer } from './peer.js'
import { type Generate, Pictures } from './pictures.js'
import { type BenchReport, markdown } from './report.js'
import { commandOf, runSide } from './run-side.js'
import { runCommand } from './setup-tools.js'

const HERE = fileURLToPath(new URL('.', import.meta.url))

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  const machine = await describeMachine()
  const options = readOptions(argv, KNOWN)
  if (options === 'help') {
    console.log(help(measureLines(hasBf16(machine))))
    return 0
  }
  if ('problem' in options) {
    console.error(`bench: ${options.problem}\nbench: npm run bench -- --help lists what there is`)
    return 2
  }
  // Leaving through exit() ends the programs under way.
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, () => process.exit(code))
  }
  const scratch = await mkdtemp(join(tmpdir(), 'nnclr-bench-'))
  process.once('exit', () => rmSync(scratch, { recursive: true, force: true, maxRetries: 3 }))
  try {
    const peer = await openPeer(say)
    const report = await bench(argv, options, machine, peer, scratch)
    await write(report, options.out)
    return report.measures.some(({ failure }) => failure !== null) ? 1 : 0
  } catch (error) {
    console.error(`bench: ${reasonOf(error)}`)
    return 1
  }
}

async function bench(
  argv: readonly string[],
  options: BenchOptions,
  machine: MachineReport,
  peer: Peer,
  scratch: string,
): Promise<BenchReport> {
  const { cifar, photos, threads, repeats, size } = options
  const given = { small: cifar, photographs: photos }
  const pictures = new Pictures(scratch, given, generator(peer.python))
  const context: Context = { size, threads, hasBf16: hasBf16(machine), pictures, scratch }
  const measures = selected(options.names, context.hasBf16)
  const start = performance.now()
  const results: MeasureResult[] = []
  for (const measure of measures) {
    results.push(await measured(measure, context, repeats, peer.python))
  }
  const { python, ...packages } = peer.versions
  return {
    date: new Date().toISOString(),
    minutes: (performance.now() - start) / 60_000,
    command: ['npm run bench', ...(argv.length === 0 ? [] : ['--', ...shown(argv)])].join(' '),
    size,
    repeats,
    threads,
    machine,
    versions: { ...(await ourVersions(peer.python)), Python: python ?? 'unknown', ...packages },
    pictures: pictures.description,
    notes: [
      ...busyNotes(machine),
      ...peer.notes,
      ...measures.flatMap((measure) => measure.notes(context)),
      ...(options.names.length === 0 ? leftOut(context.hasBf16) : []),
    ],
    measures: results,
  }
}

/** One measure; its failure does not cost the others' numbers. */
async function measured(
  measure: Measure,
  context: Context,
  repeats: number,
  python: string,
): Promise<MeasureResult> {
  try {
    const cases = await measure.plan(context)
    const { threads } = context
    return await runMeasure(
      measure,
      cases,
      repeats,
      (side) => runSide(side, { python, threads }),
      say,
    )
  } catch (error) {
    const failure = reasonOf(error)
    console.error(`bench: ${measure.name}: ${failure}`)
    return { name: measure.name, family: measure.family ?? null, cases: [], failure }
  }
}

/** Writes the results, and prints the tables. */
async function write(report: BenchReport, folder: string): Promise<void> {
  const name = report.date.slice(0, 19).replaceAll(':', '-')
  const text = markdown(report)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(report, null, 2)}\n`)
  await writeFile(join(folder, `${name}.md`), text)
  console.log(`\n${text}\nbench: ${join(folder, name)}.json and .md`)
}

/** Pictures that Pillow writes, so that no second encoder is needed. */
function generator(python: string): Generate {
  return async (kind, count, folder) => {
    const words = [join(HERE, 'peer', 'pictures.py'), kind, String(count), folder]
    const { code, output } = await runCommand(python, words)
    if (code !== 0) throw new Error(`pictures.py ended with ${code}: ${output.trim()}`)
  }
}

/** In a process of its own: libtorch stays out of this one. */
async function ourVersions(python: string): Promise<Record<string, string>> {
  const side = { name: 'ours', program: 'ours/versions.ts', settings: {} }
  const [command, ...words] = commandOf(side, { python })
  const { stdout } = await promisify(execFile)(command as string, words, {
    cwd: join(HERE, '..'),
  })
  const { version, torch } = JSON.parse(stdout) as { version: string; torch: string }
  return { nnclr: version, libtorch: torch }
}

function leftOut(bf16: boolean): string[] {
  const all = new Set(selected([], bf16).map(({ name }) => name))
  return measureLines(bf16).flatMap((line) => {
    const [name = '', reason] = line.split(/\s+\* only when named: /)
    return all.has(name) ? [] : [`${name} was left out: ${reason}`]
  })
}

/** Folders are this machine's business. */
function shown(argv: readonly string[]): string[] {
  return argv.map((word, i) => {
    if (/^--(cifar|photos|out)$/.test(argv[i - 1] ?? '')) return 'DIR'
    return word.replace(/^(--(?:cifar|photos|out))=.*/, '$1=DIR')
  })
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function say(line: string): void {
  console.log(`bench: ${line}`)
}
