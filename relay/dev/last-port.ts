import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { freePort, isPortFree } from './free-port.ts'

/**
 * The port that the server in `folder` had at its last start, so that a URL copied into another tool yesterday works
 * today; a free one if there was none or somebody else has it now.
 */
export async function lastOrFreePort(folder: string): Promise<number> {
  const path = portFile(folder)
  const port = existsSync(path) ? Number.parseInt(readFileSync(path, 'utf8'), 10) : Number.NaN
  return Number.isInteger(port) && (await isPortFree(port)) ? port : freePort()
}

/** Remembers the port for {@link lastOrFreePort}, in a file beside the folder. */
export function rememberPort(folder: string, port: number): void {
  writeFileSync(portFile(folder), `${port}\n`)
}

function portFile(folder: string): string {
  return `${folder}.port`
}
