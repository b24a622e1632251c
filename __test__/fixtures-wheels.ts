/** Wheels of a few bytes, as pip takes them from a folder: made by Python, pinned like real ones. */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { CudaPins, CudaWheel } from '../ts/cuda/pins.js'

const MAKE = `
import sys, zipfile
path, project, version, *members = sys.argv[1:]
about = f"{project.replace('-', '_')}-{version}.dist-info"
with zipfile.ZipFile(path, "w") as wheel:
    for member in members:
        name, text = member.split("=", 1)
        wheel.writestr(name, text)
    wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\\nName: {project}\\nVersion: {version}\\n")
    wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: py3-none-any\\n")
    wheel.writestr(f"{about}/RECORD", "")
`

/** What a wheel holds: its project, and its members with their texts. */
export interface WheelContent {
  readonly project: string
  readonly members: Readonly<Record<string, string>>
  /** Members to unpack; all by default. */
  readonly take?: readonly string[]
}

/** Writes the wheels into `folder` and pins them. */
export async function pinnedWheels(
  folder: string,
  contents: readonly WheelContent[],
): Promise<CudaPins> {
  const wheels: CudaWheel[] = []
  for (const { project, members, take } of contents) {
    const path = join(folder, `${project.replaceAll('-', '_')}-1.0-py3-none-any.whl`)
    const words = Object.entries(members).map(([name, text]) => `${name}=${text}`)
    await promisify(execFile)('python3', ['-c', MAKE, path, project, '1.0', ...words])
    const file = await readFile(path)
    wheels.push({
      project,
      version: '1.0',
      sha256: createHash('sha256').update(file).digest('hex'),
      bytes: file.length,
      tags: ['any'],
      take: take ?? Object.keys(members),
    })
  }
  return { platform: 'test-x64', wheels, unpackedBytes: 1000 }
}
