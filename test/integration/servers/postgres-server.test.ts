import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, startPostgres } from '@postcommit/relay/dev'
import pg from 'pg'
import { afterEach, expect, test, vi } from 'vitest'
import { commandLineOf, descendantsOf, findProcess } from '../../../relay/dev/process-table.ts'
import { privateFolder, privatePostgres } from '../../support/private-servers.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

test('serves on 127.0.0.1 alone, behind a password, and syncs what it commits', async () => {
  await using server = await privatePostgres()
  const rows = await query(
    server.url,
    `select current_setting('listen_addresses') as address, current_setting('unix_socket_directories') as socket,
            current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
            current_setting('server_encoding') as encoding, current_database() as database`,
  )
  expect(rows).toEqual([
    { address: '127.0.0.1', socket: '', fsync: 'on', full_page_writes: 'on', encoding: 'UTF8', database: 'app' },
  ])
  const url = new URL(server.url)
  expect(url.hostname).toBe('127.0.0.1')
  url.password = 'guessed'
  await expect(query(url.href, 'select 1')).rejects.toThrow('password authentication failed')
  expect((await stat(`${server.dataDir}.password`)).mode & 0o777).toBe(0o600)
})

test('keeps what was committed when every process of it is killed, and starts again on the same URL', async () => {
  await using server = await privatePostgres()
  await query(server.url, 'create table kept (id int)')
  const sessions = [new pg.Client(server.url), new pg.Client(server.url)]
  for (const session of sessions) {
    session.on('error', () => {})
    await session.connect()
    await session.query('insert into kept values (1)')
  }
  const family = [server.pid, ...descendantsOf(server.pid).map(({ pid }) => pid)]
  expect(family.length).toBeGreaterThan(4)

  await server.kill()
  expect(family.filter((pid) => findProcess(pid) !== undefined)).toEqual([])
  expect(server.isRunning()).toBe(false)
  await expect(query(server.url, 'select 1')).rejects.toThrow('ECONNREFUSED')

  await server.start()
  expect(server.pid).not.toBe(family[0])
  expect(await query(server.url, 'select count(*)::int as count from kept')).toEqual([{ count: 2 }])
  expect(await readFile(server.logFile, 'utf8')).toContain('automatic recovery in progress')
})

test('stops in order and remembers its port', async () => {
  const dataDir = join(await privateFolder('postgres'), 'data')
  const server = await startPostgres({ dataDir })
  await query(server.url, 'create table kept (id int)')
  await server.stop()
  await server.stop()
  const again = await startPostgres({ dataDir })
  expect(again.url).toBe(server.url)
  expect(await query(again.url, 'select * from kept')).toEqual([])
  expect(await readFile(again.logFile, 'utf8')).not.toContain('automatic recovery')
  await again.restart()
  expect(await query(again.url, 'select * from kept')).toEqual([])
  await again.stop()
})

test('works in a folder whose name has spaces and quotes', async () => {
  const folder = join(await privateFolder('postgres'), "it's a folder (1)")
  await using server = await privatePostgres({ dataDir: join(folder, 'my data') })
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(commandLineOf(server.pid)).toContain(folder)
})

test('a second start in the same folder says who has it', async () => {
  await using server = await privatePostgres()
  await expect(startPostgres({ dataDir: server.dataDir })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_IN_USE',
    message: expect.stringContaining(`process ${process.pid}`),
  })
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('data that somebody else serves is left alone', async () => {
  await using server = await privatePostgres()
  // Without our lock it is a server that was started by hand.
  await rm(`${server.dataDir}.lock`)
  await expect(startPostgres({ dataDir: server.dataDir })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_IN_USE',
    message: expect.stringContaining(`process ${server.pid}`),
  })
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a pid file whose pid was given to somebody else is no obstacle', async () => {
  await using server = await privatePostgres()
  const pidFile = await readFile(join(server.dataDir, 'postmaster.pid'), 'utf8')
  await server.kill()
  // Not an ancestor: PostgreSQL itself knows that those cannot be the server.
  const other = spawn('sleep', ['60'])
  try {
    await writeFile(join(server.dataDir, 'postmaster.pid'), pidFile.replace(/^\d+/, String(other.pid)))
    await server.start()
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(other.exitCode ?? other.signalCode).toBeNull()
  } finally {
    other.kill()
  }
})

test('data of another major version is refused by name', async () => {
  const server = await privatePostgres()
  await server.stop()
  await writeFile(join(server.dataDir, 'PG_VERSION'), '9\n')
  await expect(startPostgres({ dataDir: server.dataDir })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_DATA_UNSUITABLE',
    message: expect.stringContaining('written by PostgreSQL 9'),
  })
})

test('a port that was asked for is not replaced, one that was remembered is', async () => {
  const dataDir = join(await privateFolder('postgres'), 'data')
  const first = await startPostgres({ dataDir })
  await first.stop()
  const other = createServer().listen({ port: first.port, host: '127.0.0.1' })
  await once(other, 'listening')
  try {
    await expect(startPostgres({ dataDir, port: first.port })).rejects.toMatchObject({
      code: 'POSTCOMMIT_SERVER_START_FAILED',
      message: expect.stringMatching(/Address already in use[\s\S]*DATABASE_URL/),
    })
    const second = await startPostgres({ dataDir })
    expect(second.port).not.toBe(first.port)
    await second.stop()
  } finally {
    other.close()
  }
})

test('a start that was cut short leaves nothing that looks like data', async () => {
  const dataDir = join(await privateFolder('postgres'), 'data')
  await mkdir(`${dataDir}.new/base`, { recursive: true })
  await writeFile(`${dataDir}.new/PG_VERSION`, '18\n')
  await using server = await privatePostgres({ dataDir })
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(existsSync(`${dataDir}.new`)).toBe(false)
})

test('settings are handed on, and one that does not exist is reported', async () => {
  await using server = await privatePostgres({ settings: { max_connections: '7' } })
  expect(await query(server.url, 'show max_connections')).toEqual([{ max_connections: '7' }])
  await expect(privatePostgres({ settings: { no_such_setting: '1' } })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_START_FAILED',
    message: expect.stringContaining('no_such_setting'),
  })
})

test('paused it answers nothing, resumed it answers what was asked', async () => {
  await using server = await privatePostgres()
  const client = new pg.Client(server.url)
  await client.connect()
  server.pause()
  let answered = false
  const answer = client.query('select 1 as one').then((result) => {
    answered = true
    return result.rows
  })
  await sleep(200)
  expect(answered).toBe(false)
  server.resume()
  expect(await answer).toEqual([{ one: 1 }])
  await client.end()
})

test.runIf(process.getuid?.() === 0)('root without user namespaces runs it as nobody, below /var/tmp', async () => {
  const folder = await privateFolder('postgres')
  await writeFile(join(folder, 'unshare'), '#!/bin/sh\nexit 1\n')
  await chmod(join(folder, 'unshare'), 0o755)
  vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`)
  await chmod(folder, 0o700)
  const server = await startPostgres({ dataDir: join(folder, 'data'), port: await freePort() })
  try {
    expect(server.dataDir).toMatch(/^\/var\/tmp\/postcommit-root\//)
    expect((await stat(`/proc/${server.pid}`)).uid).toBe(65534)
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
    await server.kill()
    await server.start()
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  } finally {
    await server.stop()
    await rm(dirname(server.dataDir), { recursive: true })
  }
})
