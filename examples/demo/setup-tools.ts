/** What the demo borrows from the set-up, which is plain JavaScript so that it runs before anything is built. */

interface SetupTools {
  cacheFolder(): string
  npmCommand(): [command: string, args: string[]]
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
  const tools = (await import(
    new URL(`../../scripts/setup/${file}`, import.meta.url).href
  )) as SetupTools
  return tools[name]
}

/** The folder outside the clone that all clones share. */
export const cacheFolder: SetupTools['cacheFolder'] = await load('cache.mjs', 'cacheFolder')
/** The npm that runs this program. */
export const npmCommand: SetupTools['npmCommand'] = await load('packages.mjs', 'npmCommand')
/** Runs a command to its end. */
export const runCommand: SetupTools['runCommand'] = await load('run-command.mjs', 'runCommand')
/** One process at a time. */
export const withLock: SetupTools['withLock'] = await load('lock.mjs', 'withLock')
