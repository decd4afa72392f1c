import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, startRedis } from '@postcommit/relay/dev'
import { createClient } from 'redis'
import { expect, test } from 'vitest'
import { findProcess } from '../../../relay/dev/process-table.ts'
import { privateFolder, privateRedis } from '../../support/private-servers.ts'
import { redis } from '../../support/redis.ts'

test('keeps its data when it is killed, stopped and started anew', async () => {
  const dataDir = join(await privateFolder('redis'), "it's a folder (1)", 'redis')
  const server = await startRedis({ dataDir })
  {
    await using client = await redis(server.url)
    await client.ioredis.set('kept', 'yes')
  }

  const { pid } = server
  await server.kill()
  expect(findProcess(pid)).toBeUndefined()
  await server.start()
  expect(server.pid).not.toBe(pid)
  {
    await using client = await redis(server.url)
    expect(await client.nodeRedis.get('kept')).toBe('yes')
  }
  await server.stop()
  await server.stop()
  expect(server.isRunning()).toBe(false)

  const again = await startRedis({ dataDir })
  expect(again.url).toBe(server.url)
  {
    await using client = await redis(again.url)
    expect(await client.nodeRedis.get('kept')).toBe('yes')
  }
  await again.stop()
})

test('it wants a password, and syncs before it answers', async () => {
  await using server = await privateRedis()
  await using client = await redis(server.url)
  expect(await client.nodeRedis.configGet('append*sync')).toEqual({ appendfsync: 'always' })
  const stranger = createClient({ url: `redis://127.0.0.1:${server.port}`, socket: { reconnectStrategy: false } })
  stranger.on('error', () => {})
  await stranger.connect().catch(() => {})
  await expect(stranger.get('kept')).rejects.toThrow()
  stranger.destroy()
})

test('paused it answers nothing, resumed it answers what was asked', async () => {
  await using server = await privateRedis()
  await using client = await redis(server.url)
  server.pause()
  let isAnswered = false
  const answer = client.ioredis.ping().then(() => {
    isAnswered = true
  })
  await sleep(200)
  expect(isAnswered).toBe(false)
  server.resume()
  await answer
})

test('a second start on the same data says who has it', async () => {
  await using server = await privateRedis()
  await expect(startRedis({ dataDir: server.dataDir })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_IN_USE',
    message: expect.stringContaining(`process ${process.pid}`),
  })
})

test('settings are handed on, and wrong ones are reported', async () => {
  await using server = await privateRedis({ settings: { maxmemory: '64mb' } })
  await using client = await redis(server.url)
  expect(await client.nodeRedis.configGet('maxmemory')).toEqual({ maxmemory: `${64 * 1024 * 1024}` })
  await expect(privateRedis({ settings: { 'no-such-setting': '1' }, port: await freePort() })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_START_FAILED',
    message: expect.stringContaining('no-such-setting'),
  })
})

test('a port that is taken is reported, not shared', async () => {
  await using server = await privateRedis()
  await expect(privateRedis({ port: server.port })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_START_FAILED',
    message: expect.stringContaining('Address already in use'),
  })
})

test('without the program the error names the command that installs it', async () => {
  await expect(privateRedis({ binary: '/nowhere/redis-server' })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_NOT_FOUND',
    message: expect.stringMatching(/\/nowhere\/redis-server.*To install it: /),
  })
})
