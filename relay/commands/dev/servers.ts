import { join } from 'node:path'
import type { LoadedConfig } from '../../config/load.ts'
import { startNats } from '../../dev/nats.ts'
import { findNatsServer, natsInstallCommand } from '../../dev/nats-binary.ts'
import { startPostgres } from '../../dev/postgres.ts'
import { DEV_FOLDER } from './facts.ts'

/** NATS as `dev` has it: started here, configured, or not to be found. */
export type DevNats =
  | { readonly kind: 'started'; readonly url: string; readonly version: string }
  | { readonly kind: 'configured'; readonly url: string }
  | { readonly kind: 'missing'; readonly install: string }

/** The servers of a `postcommit dev`. */
export interface DevServers {
  readonly databaseUrl: string
  /** Whether the database was started here. */
  readonly ownDatabase: boolean
  /** For example `PostgreSQL 18.4, embedded`. */
  readonly databaseName: string
  readonly nats: DevNats
  readonly natsUrl: string | undefined
  /** Ends what was started here. */
  stop(): Promise<void>
}

/** Starts what is not configured, PostgreSQL and NATS side by side. */
export async function startDevServers(cwd: string, { config }: LoadedConfig): Promise<DevServers> {
  const [configured] = Object.values(config.databases)
  const starting = [
    configured === undefined ? startPostgres({ dataDir: join(cwd, DEV_FOLDER, 'postgres') }) : undefined,
    config.nats.servers.length === 0 && findNatsServer() !== undefined
      ? startNats({ storeDir: join(cwd, DEV_FOLDER, 'nats') })
      : undefined,
  ] as const
  const results = await Promise.allSettled(starting)
  const stop = async (): Promise<void> => {
    await Promise.all(results.map((result) => (result.status === 'fulfilled' ? result.value?.stop() : undefined)))
  }
  for (const result of results) {
    if (result.status === 'fulfilled') continue
    await stop()
    throw result.reason
  }
  const [postgres, nats] = [await starting[0], await starting[1]]
  const [server] = config.nats.servers
  return {
    databaseUrl: postgres?.url ?? configured?.url ?? '',
    ownDatabase: postgres !== undefined,
    databaseName: postgres === undefined ? 'configured' : `${postgres.version}, ${postgres.source}`,
    nats:
      nats !== undefined
        ? { kind: 'started', url: nats.url, version: nats.version }
        : server !== undefined
          ? { kind: 'configured', url: server }
          : { kind: 'missing', install: natsInstallCommand() },
    natsUrl: nats?.url ?? server,
    stop,
  }
}
