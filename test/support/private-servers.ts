import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type MariadbOptions,
  type MariadbServer,
  type NatsOptions,
  type NatsServer,
  type PostgresOptions,
  type PostgresServer,
  type RedisOptions,
  type RedisServer,
  type ServerLifecycle,
  startMariadb,
  startNats,
  startPostgres,
  startRedis,
} from '@postcommit/relay/dev'
import { inject } from 'vitest'
import { NATS_BINARY } from './nats-binary.ts'
import { type NatsCluster, startNatsCluster } from './nats-cluster.ts'
import { postgresSource } from './postgres-source.ts'

/** A PostgreSQL for one test alone, which may kill it. `await using` ends it and removes its data. */
export async function privatePostgres(options: Partial<PostgresOptions> = {}): Promise<PostgresServer> {
  const folder = await privateFolder('postgres')
  const dataDir = join(folder, 'data')
  return withFolder(await startPostgres({ dataDir, binaries: postgresSource(), ...options }), folder)
}

/** A nats-server for one test alone, which may kill it. `await using` ends it and removes its streams. */
export async function privateNats(options: Partial<NatsOptions> = {}): Promise<NatsServer> {
  const folder = await privateFolder('nats')
  return withFolder(await startNats({ storeDir: join(folder, 'store'), ...NATS_BINARY, ...options }), folder)
}

/** Three nats-servers for one test alone, which may kill them. `await using` ends them and removes their streams. */
export async function privateNatsCluster(): Promise<NatsCluster> {
  const folder = await privateFolder('nats-cluster')
  return withFolder(await startNatsCluster(folder), folder)
}

/** A MariaDB for one test alone, which may kill it. `await using` ends it and removes its data. */
export async function privateMariadb(options: Partial<MariadbOptions> = {}): Promise<MariadbServer> {
  const folder = await privateFolder('mariadb')
  return withFolder(await startMariadb({ dataDir: join(folder, 'data'), ...options }), folder)
}

/** A Redis for one test alone, which may kill it. `await using` ends it and removes its data. */
export async function privateRedis(options: Partial<RedisOptions> = {}): Promise<RedisServer> {
  const folder = await privateFolder('redis')
  return withFolder(await startRedis({ dataDir: join(folder, 'data'), ...options }), folder)
}

/** A new folder below that of the test run, which is removed with it. */
export function privateFolder(name: string): Promise<string> {
  return mkdtemp(join(inject('testFolder') ?? tmpdir(), `${name}-`))
}

function withFolder<Server extends Pick<ServerLifecycle, 'stop'>>(server: Server, folder: string): Server {
  return Object.assign(server, {
    [Symbol.asyncDispose]: async () => {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  })
}
