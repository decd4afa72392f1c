import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  findMariadb,
  findNatsServer,
  findRedisServer,
  mariadbInstallCommand,
  natsInstallCommand,
  redisInstallCommand,
  startMariadb,
  startNats,
  startPostgres,
  startRedis,
} from '@postcommit/relay/dev'
import type { TestProject } from 'vitest/node'
import { endKilledTestRuns, endLeftovers, keepTestFolder, ownTestFolder, TEST_FOLDER_PREFIX } from './leftovers.ts'
import { NATS_BINARY } from './nats-binary.ts'
import { postgresSource } from './postgres-source.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The URL of the PostgreSQL of this test run. */
    postgresUrl: string
    /** The URL of the nats-server of this test run. */
    natsUrl: string
    /** The URL of the MariaDB of this test run. */
    mariadbUrl: string
    /** The URL of the Redis of this test run. */
    redisUrl: string
    /** A folder that is removed after the test run. */
    testFolder: string
  }
}

/** What the tests run besides PostgreSQL, which npm brings along. */
const NEEDED = [
  { server: 'nats-server', find: findNatsServer, install: natsInstallCommand },
  { server: 'MariaDB', find: findMariadb, install: mariadbInstallCommand },
  { server: 'redis-server', find: findRedisServer, install: redisInstallCommand },
]

/**
 * One private PostgreSQL, nats-server, MariaDB and Redis for a whole test run, in a folder of their own. Test files get
 * databases, streams and key prefixes of their own in them, so they can run side by side.
 *
 * `POSTCOMMIT_TEST_KEEP=1` keeps the folder, to start the servers in it again and look.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  for (const { server, find, install } of NEEDED) {
    if (find() === undefined) throw new Error(`The tests need ${server}. To install it: ${install()}`)
  }
  await endKilledTestRuns()
  const testFolder = await mkdtemp(join(tmpdir(), TEST_FOLDER_PREFIX))
  ownTestFolder(testFolder)
  const [postgres, nats, mariadb, redis] = await Promise.all([
    startPostgres({
      dataDir: join(testFolder, 'postgres'),
      binaries: postgresSource(),
      settings: { max_connections: '200' },
    }),
    startNats({ storeDir: join(testFolder, 'nats'), ...NATS_BINARY }),
    startMariadb({ dataDir: join(testFolder, 'mariadb'), settings: { 'max-connections': '400' } }),
    startRedis({ dataDir: join(testFolder, 'redis') }),
  ])
  project.provide('postgresUrl', postgres.url)
  project.provide('natsUrl', nats.url)
  project.provide('mariadbUrl', mariadb.url)
  project.provide('redisUrl', redis.url)
  project.provide('testFolder', testFolder)

  return async () => {
    await Promise.all([postgres.stop(), nats.stop(), mariadb.stop(), redis.stop()])
    await endLeftovers(testFolder)
    if (process.env['POSTCOMMIT_TEST_KEEP'] === undefined) {
      await rm(testFolder, { recursive: true, force: true })
    } else {
      keepTestFolder(testFolder)
      process.stdout.write(`kept ${testFolder}\n`)
    }
  }
}
