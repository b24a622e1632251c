/** What the programs of this folder share: JSON in, one line of numbers out. */

/** The settings, as `run-side.ts` hands them over. */
export function readSettings<T>(): T {
  return JSON.parse(process.argv[2] ?? '{}') as T
}

/** The program's result. */
export function print(numbers: Readonly<Record<string, number>>): void {
  console.log(JSON.stringify(numbers))
}

/** Seconds since an earlier `performance.now()`. */
export function secondsSince(start: number): number {
  return (performance.now() - start) / 1000
}

/** Calls `work` until `seconds` have passed; the seconds that really passed. */
export async function repeatFor(seconds: number, work: () => Promise<void>): Promise<number> {
  const start = performance.now()
  while (secondsSince(start) < seconds) await work()
  return secondsSince(start)
}
