import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findNatsServer, natsInstallCommand, startNats, startPostgres } from '@postcommit/relay/dev'
import type { TestProject } from 'vitest/node'
import { endKilledTestRuns, endLeftovers, keepTestFolder, ownTestFolder, TEST_FOLDER_PREFIX } from './leftovers.ts'
import { postgresSource } from './postgres-source.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The URL of the PostgreSQL of this test run. */
    postgresUrl: string
    /** The URL of the nats-server of this test run. */
    natsUrl: string
    /** A folder that is removed after the test run. */
    testFolder: string
  }
}

/**
 * One private PostgreSQL and one private nats-server for a whole test run, in a folder of their own. Test files get
 * databases and streams of their own in them, so they can run side by side.
 *
 * `POSTCOMMIT_TEST_KEEP=1` keeps the folder, to start the servers in it again and look.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (findNatsServer() === undefined) {
    throw new Error(`The tests need nats-server. To install it: ${natsInstallCommand()}`)
  }
  await endKilledTestRuns()
  const testFolder = await mkdtemp(join(tmpdir(), TEST_FOLDER_PREFIX))
  ownTestFolder(testFolder)
  const [postgres, nats] = await Promise.all([
    startPostgres({
      dataDir: join(testFolder, 'postgres'),
      binaries: postgresSource(),
      settings: { max_connections: '200' },
    }),
    startNats({ storeDir: join(testFolder, 'nats') }),
  ])
  project.provide('postgresUrl', postgres.url)
  project.provide('natsUrl', nats.url)
  project.provide('testFolder', testFolder)

  return async () => {
    await Promise.all([postgres.stop(), nats.stop()])
    await endLeftovers(testFolder)
    if (process.env['POSTCOMMIT_TEST_KEEP'] === undefined) {
      await rm(testFolder, { recursive: true, force: true })
    } else {
      keepTestFolder(testFolder)
      process.stdout.write(`kept ${testFolder}\n`)
    }
  }
}
