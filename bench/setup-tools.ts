/** What the benchmark borrows from the set-up, which is plain JavaScript. */

interface SetupTools {
  cacheFolder(): string
  findPython(): string | null
  runCommand(
    command: string,
    args: string[],
    options?: { cwd?: string },
  ): Promise<{ code: number; output: string }>
  withLock<T>(
    path: string,
    work: () => Promise<T>,
    options?: { onWait?: (holder: string) => void },
  ): Promise<T>
}

async function load<Name extends keyof SetupTools>(
  file: string,
  name: Name,
): Promise<SetupTools[Name]> {
  const url = new URL(`../scripts/setup/${file}`, import.meta.url)
  const tools = (await import(url.href)) as SetupTools
  return tools[name]
}

/** The folder outside the clone that all clones share. */
export const cacheFolder: SetupTools['cacheFolder'] = await load('cache.mjs', 'cacheFolder')
/** Python 3, null where there is none. */
export const findPython: SetupTools['findPython'] = await load('requirements.mjs', 'findPython')
/** Runs a command to its end; its output is stdout and stderr together. */
export const runCommand: SetupTools['runCommand'] = await load('run-command.mjs', 'runCommand')
/** One process at a time. */
export const withLock: SetupTools['withLock'] = await load('lock.mjs', 'withLock')
