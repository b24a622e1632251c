import { Ajv2020 } from 'ajv/dist/2020.js'
import test from 'ava'
import type { Check } from '../ts/config/check.js'
import { schema } from '../ts/config/schema.js'
import { configFields } from '../ts/config.js'
import { configSchema, NnclrError, PRESET_NAMES, presets } from '../ts/index.js'

const accepts = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(configSchema)
const BASE = { data: 'photos/', out: 'runs/first' }

/** The configuration with one field set. */
function withField(field: string, value: unknown): object {
  const [group = '', name] = field.split('.')
  return { ...BASE, [group]: name === undefined ? value : { [name]: value } }
}

/** The check behind a field. */
function checkOf(field: string): Check {
  const [group = '', name] = field.split('.')
  const entry = (schema as unknown as Record<string, Record<string, unknown>>)[group]
  return (name === undefined ? entry : entry?.[name]) as unknown as Check
}

/** Values that JSON can hold, around every bound and of every kind. */
const VALUES: readonly unknown[] = [
  ...[-1, 0, 0.01, 0.1, 0.5, 0.51, 0.999, 1, 2, 7, 8, 10, 10.5, 100, 101, 180, 181, 1000, 1001],
  ...[1024, 1025, 4096, 4097, 65_536, 65_537, 1e6, 1e6 + 1, 2 ** 20, 2 ** 24, 2 ** 24 + 1],
  ...[Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER + 1, 1e300, true, false, null],
  ...['', 'auto', 'all', 'x', 'a\0b', 'default', 'paper', 'cuda:1', 'cuda:12345', 'resnet18'],
  ...['cifar', 'fill', 'random', 'none', 'sgd', 'cosine', 'fp32', 'skip', 'nt-xent'],
  ...[[], [0, 1], [0.2, 1], [0.1, 200], [1, 2, 3], [0, 0, 256], [0.5], ['a.jpg'], [''], {}],
]

test('the schema accepts of each field exactly what the configuration accepts', (t) => {
  let [taken, refused] = [0, 0]
  const fields = configFields().filter(({ field }) => field !== 'signal')
  for (const { field } of fields) {
    const check = checkOf(field)
    for (const value of VALUES) {
      // Entries of an array of pictures are looked at when the set is opened.
      if (Array.isArray(value) && ['data', 'validation'].includes(field)) continue
      const expected = check.accepts(value)
      const got = accepts(withField(field, value))
      t.is(got, expected, `${field}: ${JSON.stringify(value)}`)
      if (got) taken += 1
      else refused += 1
    }
  }
  t.true(fields.length > 50 && taken > 500 && refused > 1500, `${taken} taken, ${refused} refused`)
})

test('it knows every field that JSON can hold, with the default of the default preset', (t) => {
  const { properties } = configSchema as { properties: Record<string, Record<string, unknown>> }
  t.false('signal' in properties)
  t.deepEqual(
    Object.keys(properties),
    Object.keys(schema).filter((field) => field !== 'signal'),
  )
  t.is(properties['epochs']?.['default'], presets.default.epochs)
  t.regex(String(properties['epochs']?.['description']), /^a whole number from 1 to 1000000$/)
  for (const name of PRESET_NAMES) t.true(accepts({ ...BASE, ...presets[name] }), name)
  t.true(accepts({ ...BASE, data: [{ path: 'a.jpg', label: 'cat' }, 'b.png'] }))
})

test('what is unknown or missing is refused', (t) => {
  t.false(accepts({ data: 'photos/' }))
  t.false(accepts({ ...BASE, batchsize: 64 }))
  t.false(accepts({ ...BASE, transform: { cropscale: [0.2, 1] } }))
  t.false(accepts({ ...BASE, data: [{ bytes: 'abc' }] }))
  t.false(accepts(new NnclrError('CONFIG', '', '')))
  t.notThrows(() => JSON.stringify(configSchema))
})
