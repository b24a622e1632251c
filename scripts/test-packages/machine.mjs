// A machine with Node and nothing else: an empty home, and a PATH with one program.
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writePictures } from './pictures.mjs'

const PROGRAMS = fileURLToPath(new URL('programs', import.meta.url))
const INSTALL_MS = 600_000
const RUN_MS = 120_000
/** How this network is left; the rest of the developer's environment stays outside. */
const NETWORK = /^(node_extra_ca_certs|ssl_cert_file|ssl_cert_dir|(https?|no|all)_proxy)$/i

/** @typedef {{ code: number | null, signal: string | null, stdout: string, stderr: string }} Ended */

export class Machine {
  /** @param {import('./tools.mjs').Tools} tools @param {string} registry */
  constructor(tools, registry) {
    this.tools = tools
    this.registry = registry
    this.folder = mkdtempSync(join(tmpdir(), 'nnclr-packages-'))
    this.home = join(this.folder, 'home')
    mkdirSync(this.home)
    this.pictures = writePictures(join(this.folder, 'pictures'))
    for (const [version, node] of Object.entries(tools.nodes)) {
      mkdirSync(join(this.folder, `node-${version}`))
      symlinkSync(node, join(this.folder, `node-${version}`, 'node'))
    }
    this.runs = 0
  }

  /** An empty project with the campaign's programs in it. */
  project(name) {
    const folder = join(this.folder, 'projects', name)
    cpSync(PROGRAMS, folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
    writeFileSync(join(folder, '.npmrc'), `registry=${this.registry}\n`)
    return folder
  }

  /** Runs a package manager; with scripts forbidden, as pnpm and careful people do. */
  async manage(manager, folder, args, env = {}) {
    const path = this.tools.managers[manager]
    const node = this.node(manager === 'npm-10' ? '20' : '24')
    const words = path.endsWith('.js') ? [node, path, ...args] : [path, ...args]
    const ended = await this.run(words, folder, '24', { env, limit: INSTALL_MS })
    if (ended.code !== 0)
      throw new Error(`${manager} ${args.join(' ')}: ${tail(ended.stdout + ended.stderr)}`)
    return ended
  }

  node(version) {
    return join(this.folder, `node-${version}`, 'node')
  }

  /** Runs a program of a project by a Node. @returns {Promise<Ended>} */
  program(version, folder, words, env = {}) {
    return this.run([this.node(version), ...words], folder, version, { env, limit: RUN_MS })
  }

  /** @returns {Promise<Ended>} */
  run([command, ...args], cwd, version, { env, limit }) {
    this.runs += 1
    const out = join(this.folder, 'runs', `${this.runs}`)
    return new Promise((resolve) => {
      const child = spawn(command, args, {
        cwd,
        timeout: limit,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          PATH: join(this.folder, `node-${version}`),
          HOME: this.home,
          TMPDIR: this.folder,
          LANG: 'C.UTF-8',
          PICTURES: this.pictures,
          OUT: out,
          ...Object.fromEntries(Object.entries(process.env).filter(([name]) => NETWORK.test(name))),
          npm_config_update_notifier: 'false',
          ...env,
        },
      })
      const ended = { code: null, signal: null, stdout: '', stderr: '' }
      for (const name of ['stdout', 'stderr'])
        child[name].setEncoding('utf8').on('data', (chunk) => {
          ended[name] += chunk
        })
      child.on('error', (error) => {
        ended.stderr += error.message
        resolve(ended)
      })
      child.on('close', (code, signal) => resolve({ ...ended, code, signal }))
    })
  }

  close() {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
}

/** The end of an output, on one line. */
export function tail(output) {
  return output.trim().split('\n').slice(-9).join(' | ').slice(-900)
}
