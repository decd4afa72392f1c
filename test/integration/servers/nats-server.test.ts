import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { freePort, startNats } from '@postcommit/relay/dev'
import { afterEach, expect, test, vi } from 'vitest'
import { findProcess } from '../../../relay/dev/process-table.ts'
import { eventually } from '../../support/eventually.ts'
import { nats } from '../../support/nats.ts'
import { privateFolder, privateNats } from '../../support/private-servers.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

async function messagesIn(url: string, stream: string): Promise<number> {
  const connection = await connect({ servers: url })
  try {
    const manager = await jetstreamManager(connection)
    return (await manager.streams.info(stream)).state.messages
  } finally {
    await connection.close()
  }
}

test('keeps its streams when it is killed, stopped and started anew', async () => {
  const storeDir = join(await privateFolder('nats'), "it's a store (1)", 'nats')
  const server = await startNats({ storeDir })
  const broker = await nats(server.url)
  const stream = await broker.freshStream()
  await jetstream(broker.connection).publish(`${stream.prefix}.one`, 'payload')
  await broker.close()

  const { pid } = server
  await server.kill()
  expect(findProcess(pid)).toBeUndefined()
  await server.start()
  expect(server.pid).not.toBe(pid)
  expect(await messagesIn(server.url, stream.name)).toBe(1)
  await server.stop()
  await server.stop()
  expect(server.isRunning()).toBe(false)

  const again = await startNats({ storeDir })
  expect(again.url).toBe(server.url)
  expect(await messagesIn(again.url, stream.name)).toBe(1)
  await again.stop()
})

test('clients find it again on the same URL after a restart', async () => {
  await using server = await privateNats()
  await using broker = await nats(server.url)
  await server.restart()
  await eventually(() => broker.connection.flush())
})

test('paused it answers nothing, resumed it answers what was asked', async () => {
  await using server = await privateNats()
  await using broker = await nats(server.url)
  server.pause()
  // The signal stops its threads one by one, each when it runs.
  await sleep(100)
  let isAnswered = false
  const answer = broker.connection.flush().then(() => {
    isAnswered = true
  })
  await sleep(200)
  expect(isAnswered).toBe(false)
  server.resume()
  await answer
})

test('it can be stopped while it is paused', async () => {
  await using server = await privateNats()
  server.pause()
  await server.stop()
  expect(server.isRunning()).toBe(false)
})

test('a second start on the same store says who has it', async () => {
  await using server = await privateNats()
  await expect(startNats({ storeDir: server.storeDir })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_IN_USE',
    message: expect.stringContaining(`process ${process.pid}`),
  })
})

test('configuration is handed on, and a wrong one is reported', async () => {
  await using server = await privateNats({ config: 'max_payload: 2048' })
  await using broker = await nats(server.url)
  expect(broker.connection.info?.max_payload).toBe(2048)
  await expect(privateNats({ config: 'no_such_setting: {', port: await freePort() })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_START_FAILED',
    message: expect.stringContaining('NATS_URL'),
  })
})

test('a port that is taken is reported, not shared', async () => {
  await using server = await privateNats()
  await expect(privateNats({ port: server.port })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_START_FAILED',
    message: expect.stringContaining('address already in use'),
  })
})

test('without the program the error names the command that installs it', async () => {
  await expect(privateNats({ binary: '/nowhere/nats-server' })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_NOT_FOUND',
    message: expect.stringMatching(/\/nowhere\/nats-server.*To install it: /),
  })
})
