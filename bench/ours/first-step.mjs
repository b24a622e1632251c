// From the import of the built package to the end of the first training step; prints the seconds. Plain
// JavaScript: the hook that compiles TypeScript would count too.
const begun = performance.now()
const { train } = await import('../../dist/index.js')
const { data, scratch, batchSize, threads } = JSON.parse(process.argv[2] ?? '{}')
const stop = new AbortController()
let firstStep = Number.NaN
const run = train({
  preset: 'lightly',
  data,
  out: `${scratch}/first-step`,
  overwrite: true,
  epochs: 1,
  batchSize,
  threads,
  device: 'cpu',
  logEverySteps: 1,
  signal: stop.signal,
})
for await (const event of run) {
  if (event.type !== 'step' || stop.signal.aborted) continue
  firstStep = (performance.now() - begun) / 1000
  stop.abort()
}
console.log(JSON.stringify({ firstStep }))
