// The folder outside the clone that all clones share.
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/**
 * `NNCLR_CACHE`, else `nnclr` in the user's cache folder.
 * @returns {string}
 */
export function cacheFolder(env = process.env, platform = process.platform, home = homedir()) {
  if (env.NNCLR_CACHE) return resolve(env.NNCLR_CACHE)
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'nnclr')
  if (platform === 'win32') return join(env.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'nnclr')
  // The XDG specification: a relative value is invalid and must be ignored.
  const xdg = env.XDG_CACHE_HOME?.startsWith('/') ? env.XDG_CACHE_HOME : join(home, '.cache')
  return join(xdg, 'nnclr')
}
