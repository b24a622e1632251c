// What a Linux library says to the loader: its search path (RUNPATH), read and shortened in place, and the
// glibc it was linked against.
//
// The linker writes the developer's own folder last into it, so that a clone's addon finds libtorch. A
// published addon must not carry it. The string can be cut where it stands: nothing else moves.

const PT_LOAD = 1
const PT_DYNAMIC = 2
const DT_STRTAB = 5
const DT_RUNPATH = 29
const DT_VERNEED = 0x6ffffffe
const DT_VERNEEDNUM = 0x6fffffff

/**
 * @param {Buffer} bytes a library
 * @returns {{ text: string, offset: number } | null} null: it has none
 */
export function readRunpath(bytes) {
  const { entries, strings } = readDynamic(bytes)
  const runpath = entries.get(DT_RUNPATH)
  if (runpath === undefined) return null
  const offset = strings + runpath
  return { text: textAt(bytes, offset), offset }
}

/**
 * The newest version of glibc whose symbols the library asks for: with an older one it does not load.
 * @param {Buffer} bytes @returns {string | null} for example `2.28`
 */
export function neededGlibc(bytes) {
  const { entries, strings, segments } = readDynamic(bytes)
  const first = entries.get(DT_VERNEED)
  if (first === undefined) return null
  const versions = []
  let library = fileOffset(segments, first)
  for (let i = 0; i < (entries.get(DT_VERNEEDNUM) ?? 0); i++) {
    let version = library + bytes.readUInt32LE(library + 8)
    for (let j = 0; j < bytes.readUInt16LE(library + 2); j++) {
      versions.push(textAt(bytes, strings + bytes.readUInt32LE(version + 8)))
      version += bytes.readUInt32LE(version + 12)
    }
    library += bytes.readUInt32LE(library + 12)
  }
  const glibc = versions.flatMap((name) => /^GLIBC_2\.(\d+)/.exec(name)?.[1] ?? []).map(Number)
  return glibc.length === 0 ? null : `2.${Math.max(...glibc)}`
}

/**
 * Keeps the folders of the search path for which `keep` is true.
 * @param {Buffer} bytes changed in place
 * @param {(folder: string) => boolean} keep
 * @returns {string} the path that is left
 */
export function filterRunpath(bytes, keep) {
  const found = readRunpath(bytes)
  if (!found)
    throw new Error('the addon has no search path (RUNPATH): was it linked by crate/build.rs?')
  const text = found.text.split(':').filter(keep).join(':')
  bytes.fill(0, found.offset, found.offset + found.text.length)
  bytes.write(text, found.offset, 'latin1')
  return text
}

/** The dynamic section by tag, and where its strings are in the file. */
function readDynamic(bytes) {
  const segments = programHeaders(bytes)
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC)
  const entries = new Map()
  for (let at = 0; dynamic && at < dynamic.size; at += 16) {
    const place = dynamic.offset + at
    entries.set(Number(bytes.readBigUInt64LE(place)), Number(bytes.readBigUInt64LE(place + 8)))
  }
  const strings = entries.get(DT_STRTAB)
  return { entries, segments, strings: strings === undefined ? 0 : fileOffset(segments, strings) }
}

function textAt(bytes, offset) {
  return bytes.toString('latin1', offset, bytes.indexOf(0, offset))
}

function programHeaders(bytes) {
  const isElf64 = bytes.readUInt32BE(0) === 0x7f454c46 && bytes[4] === 2 && bytes[5] === 1
  if (!isElf64) throw new Error('not a 64-bit little-endian ELF file')
  const start = Number(bytes.readBigUInt64LE(32))
  const size = bytes.readUInt16LE(54)
  return Array.from({ length: bytes.readUInt16LE(56) }, (_, i) => {
    const at = start + i * size
    const field = (offset) => Number(bytes.readBigUInt64LE(at + offset))
    return {
      type: bytes.readUInt32LE(at),
      offset: field(8),
      address: field(16),
      size: field(32),
    }
  })
}

/** Where an address of memory is in the file. */
function fileOffset(segments, address) {
  const segment = segments.find(
    ({ type, address: start, size }) =>
      type === PT_LOAD && address >= start && address < start + size,
  )
  if (!segment) throw new Error(`no segment holds the address ${address}`)
  return address - segment.address + segment.offset
}
