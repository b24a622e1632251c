import test from 'ava'
import { configFlags } from '../ts/cli/config-flags.js'
import { PROGRAM_ONLY } from '../ts/cli/field-words.js'
import { configFields } from '../ts/config.js'
import { nnclr } from './cli-terminal.js'

const COMMANDS = ['train', 'knn', 'embed', 'launch', 'info', 'cuda']

test('every field of the configuration is a flag, and no other', (t) => {
  const flags = configFlags().flatMap((group) => group.flags.map(({ key }) => key))
  const fields = configFields().map(({ field }) => field)
  t.deepEqual([...flags].sort(), fields.filter((field) => !PROGRAM_ONLY.has(field)).sort())
})

test('every flag has one name of its own', (t) => {
  const names = configFlags().flatMap(({ flags }) =>
    flags.flatMap(({ name, aliases }) => [name, ...(aliases ?? [])]),
  )
  t.is(new Set(names).size, names.length)
})

test('help tells each flag with its meaning, range and default', async (t) => {
  const { code, stdout } = await nnclr(['train', '--help'])
  t.is(code, 0)
  for (const { flags } of configFlags()) {
    for (const { name } of flags) t.regex(stdout, new RegExp(`--(\\[no-\\])?${name}\\b`), name)
  }
  t.regex(
    stdout,
    /--transform.crop-scale VALUE\n.*least,most\n.*\[least,most, two numbers above 0 to 1/,
  )
  t.regex(stdout, /--\[no-\]drop-last\n/)
})

for (const command of COMMANDS) {
  test(`${command} --help begins with an example and ends with the exit codes`, async (t) => {
    const { code, stdout, stderr } = await nnclr([command, '--help'])
    t.is(code, 0)
    t.is(stderr, '')
    t.regex(stdout, new RegExp(`^Examples?:\\n {2}# .*\\n {2}nnclr ${command}`))
    t.true(stdout.trimEnd().split('\n\n').at(-1)?.startsWith('Exit codes: 0 done'))
    t.true(stdout.split('\n').every((line) => line.length <= 100))
    t.is((await nnclr(['help', command])).stdout, stdout)
  })
}

test('help of the program lists the commands', async (t) => {
  const { code, stdout } = await nnclr(['--help'])
  t.is(code, 0)
  for (const command of COMMANDS) t.regex(stdout, new RegExp(`^ {2}${command} `, 'm'))
})

test('help is told in spite of a mistake beside it', async (t) => {
  t.is((await nnclr(['train', '--lr', '--help'])).code, 2, 'here --help is taken for the value')
  t.is((await nnclr(['train', '--nonsense', '--help'])).code, 0)
})
