/**
 * The demo's pictures: every emoji that both Google and Twitter have drawn, from two npm packages.
 * They are fetched once, checked against a pinned checksum and kept in the cache; a folder appears
 * under its name only when it is complete, so a killed download leaves nothing to be trusted.
 */

import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { filesOfTar } from '../../ts/data/tar.js'
import { cacheFolder, npmCommand, runCommand, withLock } from './setup-tools.js'

/** Who drew it. */
export type Vendor = 'google' | 'twitter'

/** An npm package with one vendor's drawings. */
export interface EmojiPackage {
  readonly vendor: Vendor
  /** What npm fetches. */
  readonly spec: string
  /** Of the packed file, as the registry states it. */
  readonly sha512: string
}

/** One emoji and its two drawings. */
export interface Emoji {
  readonly name: string
  readonly category: string
  readonly drawings: Readonly<Record<Vendor, string>>
}

/** Both packages of version 16.0.0. */
export const PACKAGES: readonly EmojiPackage[] = [
  {
    vendor: 'google',
    spec: 'emoji-datasource-google@16.0.0',
    sha512:
      'ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==',
  },
  {
    vendor: 'twitter',
    spec: 'emoji-datasource-twitter@16.0.0',
    sha512:
      '7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==',
  },
]

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const META = 'emoji.json'
const PARTIAL = '.partial-'

/** The fields of emoji.json that are read here. */
interface EmojiEntry {
  readonly name: string | null
  readonly short_name: string
  readonly category: string
  readonly image: string
  readonly has_img_google: boolean
  readonly has_img_twitter: boolean
}

/** All emoji with two drawings; fetches what the cache does not have. */
export async function fetchEmoji(
  say: (text: string) => void,
  cache: string = cacheFolder(),
): Promise<Emoji[]> {
  const root = join(cache, 'emoji-16.0.0')
  await withLock(join(cache, 'emoji.lock'), async () => {
    await removePartials(root)
    for (const wanted of PACKAGES) {
      const folder = join(root, wanted.vendor)
      if (!(await exists(folder))) await install(wanted, folder, say)
    }
  })
  const entries = parseEntries(await readFile(join(root, 'google', META)))
  return entries.map((entry) => ({
    name: (entry.name ?? entry.short_name).toLowerCase(),
    category: entry.category,
    drawings: {
      google: join(root, 'google', entry.image),
      twitter: join(root, 'twitter', entry.image),
    },
  }))
}

/** The drawings and emoji.json of a packed package, by file name. */
export function drawingsOf(
  packed: Buffer,
  { spec, sha512 }: Omit<EmojiPackage, 'vendor'>,
): Map<string, Uint8Array> {
  const found = createHash('sha512').update(packed).digest('base64')
  if (found !== sha512) throw new Error(`${spec}: the checksum is ${found}, expected ${sha512}`)
  const archive = gunzipSync(packed)
  const meta = filesOfTar(archive, new Set([META])).get(META)
  if (meta === undefined) throw new Error(`${spec}: there is no ${META}`)
  const images = parseEntries(meta).map(({ image }) => image)
  const files = filesOfTar(archive, new Set([META, ...images]))
  const missing = images.filter((image) => !files.has(image))
  if (missing.length > 0)
    throw new Error(`${spec}: ${missing.length} drawings are missing, first ${missing[0]}`)
  return files
}

async function install(
  wanted: EmojiPackage,
  folder: string,
  say: (text: string) => void,
): Promise<void> {
  say(`fetching ${wanted.spec}, once`)
  const parent = join(folder, '..')
  await mkdir(parent, { recursive: true })
  const partial = await mkdtemp(join(parent, `${wanted.vendor}${PARTIAL}`))
  try {
    const files = drawingsOf(await readFile(await pack(wanted.spec, partial)), wanted)
    const drawings = join(partial, 'drawings')
    await mkdir(drawings)
    for (const [name, bytes] of files) await writeFile(join(drawings, name), bytes)
    await rename(drawings, folder)
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
}

/** What a killed download left. The lock is held, so nobody is writing there. */
async function removePartials(root: string): Promise<void> {
  const names = (await exists(root)) ? await readdir(root) : []
  for (const name of names.filter((candidate) => candidate.includes(PARTIAL))) {
    await rm(join(root, name), { recursive: true, force: true })
  }
}

/** Lets npm fetch a package; resolves with the path of the packed file. */
async function pack(spec: string, folder: string): Promise<string> {
  const [command, args] = npmCommand()
  const { code, output } = await runCommand(
    command,
    [
      ...args,
      'pack',
      spec,
      '--pack-destination',
      folder,
      '--ignore-scripts',
      '--loglevel',
      'error',
    ],
    { cwd: REPOSITORY },
  )
  if (code !== 0) {
    throw new Error(
      `npm could not fetch ${spec}; check the network and run again:\n${output.trim().slice(-500)}`,
    )
  }
  return join(folder, `${spec.replace('@', '-')}.tgz`)
}

function parseEntries(meta: Uint8Array): EmojiEntry[] {
  const entries = JSON.parse(Buffer.from(meta).toString('utf8')) as EmojiEntry[]
  return entries.filter(({ has_img_google, has_img_twitter }) => has_img_google && has_img_twitter)
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
