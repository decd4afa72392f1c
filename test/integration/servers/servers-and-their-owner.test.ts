import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startMariadb, startNats, startPostgres, startRedis } from '@postcommit/relay/dev'
import { expect, test } from 'vitest'
import { findProcess } from '../../../relay/dev/process-table.ts'
import { eventually } from '../../support/eventually.ts'
import { endLeftovers, recordProcess } from '../../support/leftovers.ts'
import { privateFolder } from '../../support/private-servers.ts'
import { type Program, spawnProgram } from '../../support/program.ts'

interface Owner {
  readonly folder: string
  readonly program: Program
  readonly serverPids: readonly number[]
}

/** A process of its own that has started each kind of server. */
async function startOwner(folder?: string): Promise<Owner> {
  const place = folder ?? (await privateFolder('owner'))
  const program = await spawnProgram('test/support/fixtures/runs-servers.ts', [place])
  const [, pids = ''] = await program.waitForLine(/serving ([\d ]+)/, { timeoutMs: 20_000 })
  return { folder: place, program, serverPids: pids.split(' ').map(Number) }
}

function expectGone({ serverPids }: Owner): Promise<void> {
  return eventually(() => expect(serverPids.map(findProcess).filter((found) => found !== undefined)).toEqual([]))
}

test.each(['return', 'throw', 'exit'])('they end with a process that ends by %s', async (order) => {
  const owner = await startOwner()
  owner.program.send(order)
  await expect(owner.program.exit).resolves.toEqual({ code: order === 'throw' ? 1 : 0, signal: null })
  await expectGone(owner)
})

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('they end with a process that ends by %s', async (signal) => {
  const owner = await startOwner()
  await expect(owner.program.kill(signal)).resolves.toEqual({ code: null, signal })
  await expectGone(owner)
})

test('another process is told who has the folder', async () => {
  const owner = await startOwner()
  for (const start of [
    () => startPostgres({ dataDir: join(owner.folder, 'postgres') }),
    () => startNats({ storeDir: join(owner.folder, 'nats') }),
    () => startMariadb({ dataDir: join(owner.folder, 'mariadb') }),
    () => startRedis({ dataDir: join(owner.folder, 'redis') }),
  ]) {
    await expect(start()).rejects.toMatchObject({
      code: 'POSTCOMMIT_SERVER_IN_USE',
      message: expect.stringContaining(`in use by process ${owner.program.pid}.`),
    })
  }
  await owner.program.kill('SIGTERM')
})

test('what a process killed by SIGKILL leaves running is ended by the next start in its folder', async () => {
  const killed = await startOwner()
  await killed.program.kill('SIGKILL')
  expect(killed.serverPids.map(findProcess)).not.toContain(undefined)

  const next = await startOwner(killed.folder)
  await expectGone(killed)
  await next.program.kill('SIGTERM')
  await expectGone(next)
})

test('a lock that names other processes than those that wrote it ends nobody', async () => {
  const folder = await privateFolder('owner')
  const dataDir = join(folder, 'postgres')
  const bystander = await spawnProgram('test/support/fixtures/waits.ts', [dataDir])
  await bystander.waitForLine(/waiting/)
  const startedAt = findProcess(bystander.pid)?.startedAt
  const earlier = `${Number(startedAt) - 1}`
  // The owner's and the server's pid have both been given to somebody else, whose command line even names the folder.
  await writeFile(
    `${dataDir}.lock`,
    JSON.stringify({
      owner: { pid: bystander.pid, startedAt: earlier },
      server: { pid: bystander.pid, startedAt: earlier },
    }),
  )
  const server = await startPostgres({ dataDir })
  await server.stop()
  expect(findProcess(bystander.pid)).toBeDefined()
  await bystander.kill()
})

test('a lock that was half written when the machine went down is replaced', async () => {
  const dataDir = join(await privateFolder('owner'), 'postgres')
  await writeFile(`${dataDir}.lock`, '{"owner":{"pi')
  const server = await startPostgres({ dataDir })
  await server.stop()
})

test('what a killed test leaves running is ended with the test run', async () => {
  const killed = await startOwner()
  recordProcess(killed.folder, killed.program.pid)
  await killed.program.kill('SIGKILL')
  const program = await spawnProgram('test/support/fixtures/waits.ts')
  recordProcess(killed.folder, program.pid)
  await endLeftovers(killed.folder)
  await expectGone(killed)
  await expect(program.exit).resolves.toEqual({ code: null, signal: 'SIGKILL' })
})
