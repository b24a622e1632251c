import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

type Edits = readonly (readonly [string, string])[]
interface Fault {
  readonly name: string
  readonly file: string
  readonly edits: Edits
  readonly tests: readonly {
    readonly rust?: string
    readonly ava?: string
    readonly name: string
  }[]
}

const { FAULTS } = (await import(join(ROOT, 'scripts/faults/table.mjs'))) as { FAULTS: Fault[] }
const { withFault } = (await import(join(ROOT, 'scripts/faults/edit.mjs'))) as {
  withFault(text: string, edits: Edits): string
}

test('the ten faults of `npm run faults` fit the sources, and the tests they name are there', async (t) => {
  t.is(new Set(FAULTS.map(({ name }) => name)).size, 10)
  for (const { name, file, edits, tests } of FAULTS) {
    const text = await readFile(join(ROOT, file), 'utf8')
    t.notThrows(() => t.not(withFault(text, edits), text), name)
    t.true(tests.length > 0, name)
    for (const { rust, ava, name: title } of tests) {
      const code = await readFile(join(ROOT, rust ?? ava ?? ''), 'utf8')
      // Titles that a loop makes end in its variable.
      const known = rust === undefined ? title.replace(/: \w+$/, ': ') : `fn ${title}(`
      t.true(code.includes(known), `${rust ?? ava}: ${title}`)
    }
  }
})

test('a fault is put in whatever the line breaks, and only where the code is unmistakable', (t) => {
  const edits: Edits = [['f(a, b) .c', 'g']]
  t.is(withFault('x = f(a,\n  b)\n  .c;', edits), 'x = g;')
  t.throws(() => withFault('x = f(a);', edits), { message: /there 0 times/ })
  t.throws(() => withFault('f(a, b) .c f(a, b) .c', edits), { message: /there 2 times/ })
})
