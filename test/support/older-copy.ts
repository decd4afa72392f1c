import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PostgresServer } from '@postcommit/relay/dev'

/** Settings that a server needs whose copies are promoted: there is no archive to read from. */
export const PROMOTABLE = { restore_command: 'false' }

/** The data of a server as it is now, for later. The server is stopped for it and started again. */
export async function copyData(server: PostgresServer): Promise<string> {
  const copy = `${server.dataDir}-copy`
  await server.stop()
  cpSync(server.dataDir, copy, { recursive: true, preserveTimestamps: true })
  await server.start()
  return copy
}

/**
 * Kills a server and lets an older copy of its data serve at the same address: an asynchronous fail-over that has lost what
 * was committed since. A standby that is promoted begins a new timeline; a disk that is set back does not.
 */
export async function failOver(
  server: PostgresServer,
  copy: string,
  { promoted }: { promoted: boolean },
): Promise<void> {
  await server.kill()
  rmSync(server.dataDir, { recursive: true })
  renameSync(copy, server.dataDir)
  // Read to its end, the log is followed by a new timeline.
  if (promoted) writeFileSync(join(server.dataDir, 'recovery.signal'), '', { mode: 0o600 })
  await server.start()
}
