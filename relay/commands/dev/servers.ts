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
  const startsNats = config.nats.servers.length === 0 && findNatsServer() !== undefined
  const [startedPostgres, startedNats] = await Promise.allSettled([
    configured === undefined
      ? startPostgres({ dataDir: join(cwd, DEV_FOLDER, 'postgres') })
      : Promise.resolve(undefined),
    startsNats ? startNats({ storeDir: join(cwd, DEV_FOLDER, 'nats') }) : Promise.resolve(undefined),
  ])
  const [postgres, nats] = [fulfilled(startedPostgres), fulfilled(startedNats)]
  const stop = async (): Promise<void> => {
    await Promise.all([postgres?.stop(), nats?.stop()].filter((stopping) => stopping !== undefined))
  }
  for (const started of [startedPostgres, startedNats]) {
    if (started.status === 'fulfilled') continue
    await stop()
    throw started.reason
  }
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

function fulfilled<T>(result: PromiseSettledResult<T>): T | undefined {
  return result.status === 'fulfilled' ? result.value : undefined
}
