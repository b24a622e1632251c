import { join } from 'node:path'
import test from 'ava'
import type { DataInput } from '../ts/data/dataset.js'
import { ImageFolder } from '../ts/data/image-folder.js'
import { openDataset } from '../ts/data/open-dataset.js'
import { NnclrError } from '../ts/errors.js'
import { temporaryFolder, touch } from './temporary-folder.js'

test('a path is a folder, an array is samples, and what can be opened is opened', async (t) => {
  const root = await temporaryFolder(t)
  await touch(root, 'a.png')
  t.is((await openDataset(root)).kind, 'image-folder')
  t.is((await openDataset(`${root}/`)).path(0), join(root, 'a.png'))
  t.is((await openDataset(new ImageFolder(root))).kind, 'image-folder')
  t.is((await openDataset(['a.png'])).kind, 'samples')
  const set = await openDataset(['a.png'])
  t.is(await openDataset(set), set)
})

test('anything else is a CONFIG error', async (t) => {
  for (const data of [7, null, undefined, {}, true]) {
    const opened = openDataset(data as unknown as DataInput)
    t.is((await t.throwsAsync(opened, { instanceOf: NnclrError })).code, 'CONFIG')
  }
})
