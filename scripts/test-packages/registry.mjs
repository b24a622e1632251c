// A registry on this machine that has our tarballs, and sends whoever asks for anything else to the real one.
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename } from 'node:path'
import { readPackage } from '../release/packages.mjs'

/** Package managers refuse versions that are younger than a day or two. */
const PUBLISHED = '2020-01-01T00:00:00.000Z'

/** @typedef {import('../release/packages.mjs').Package & { sha1: string }} Published */

/**
 * @param {Published[]} tarballs
 * @param {string} upstream the registry for everything else, ending in `/`
 * @returns {Promise<{ url: string, close: () => void }>}
 */
export async function startRegistry(tarballs, upstream) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://registry').pathname).slice(1)
    const tarball = tarballs.find((one) => path === `-/${basename(one.path)}`)
    if (tarball) return createReadStream(tarball.path).pipe(response)
    const versions = tarballs.filter(({ name }) => name === path)
    if (versions.length > 0) {
      response.setHeader('content-type', 'application/json')
      return response.end(JSON.stringify(document(path, versions, url)))
    }
    response.writeHead(302, { location: upstream + request.url.slice(1) })
    return response.end()
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${server.address().port}/`
  return { url, close: () => server.close() }
}

/** What a registry tells of a package. */
function document(name, tarballs, url) {
  const versions = tarballs.map((tarball) => ({
    ...tarball.manifest,
    dist: {
      tarball: `${url}-/${basename(tarball.path)}`,
      shasum: tarball.sha1,
      integrity: tarball.integrity,
    },
  }))
  return {
    name,
    'dist-tags': { latest: versions[0].version },
    versions: Object.fromEntries(versions.map((one) => [one.version, one])),
    time: Object.fromEntries(
      ['created', 'modified', ...versions.map(({ version }) => version)].map((key) => [
        key,
        PUBLISHED,
      ]),
    ),
  }
}

/**
 * A tarball with what the registry says of it.
 * @param {string} path @returns {Published}
 */
export function published(path) {
  const sha1 = createHash('sha1').update(readFileSync(path)).digest('hex')
  return { ...readPackage(path), sha1 }
}
