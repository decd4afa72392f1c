import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, startMariadb } from '@postcommit/relay/dev'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { expect, test } from 'vitest'
import { findProcess } from '../../../relay/dev/process-table.ts'
import { mariadb } from '../../support/mariadb.ts'
import { privateFolder, privateMariadb } from '../../support/private-servers.ts'

async function query(url: string, statement: string): Promise<RowDataPacket[]> {
  const connection = await createConnection(url)
  try {
    const [rows] = await connection.query<RowDataPacket[]>(statement)
    return rows
  } finally {
    connection.destroy()
  }
}

test('keeps its data when it is killed, stopped and started anew', async () => {
  const dataDir = join(await privateFolder('mariadb'), "it's a folder: (1)", 'mariadb')
  const server = await startMariadb({ dataDir })
  await query(server.url, 'create table kept (id int primary key)')
  await query(server.url, 'insert into kept values (7)')

  const { pid } = server
  await server.kill()
  expect(findProcess(pid)).toBeUndefined()
  await server.start()
  expect(server.pid).not.toBe(pid)
  expect(await query(server.url, 'select id from kept')).toEqual([{ id: 7 }])
  await server.stop()
  await server.stop()
  expect(server.isRunning()).toBe(false)

  const again = await startMariadb({ dataDir })
  expect(again.url).toBe(server.url)
  expect(await query(again.url, 'select id from kept')).toEqual([{ id: 7 }])
  await again.stop()
})

test('has one account, with a password, and syncs its commits', async () => {
  await using server = await privateMariadb()
  expect(
    await query(server.url, "select User, Host from mysql.user where User not in ('mariadb.sys', 'PUBLIC')"),
  ).toEqual([{ User: 'dev', Host: '127.0.0.1' }])
  expect(await query(server.url, 'select @@innodb_flush_log_at_trx_commit as at_commit')).toEqual([{ at_commit: 1 }])
  const open = new URL(server.url)
  for (const user of ['root', 'dev', '']) {
    open.username = user
    open.password = ''
    await expect(query(open.href, 'select 1')).rejects.toMatchObject({ errno: 1045 })
  }
})

test('a server that starts leaves the temporary tables of others alone', async () => {
  await using server = await privateMariadb()
  const connection = await createConnection(server.url)
  await connection.query('create temporary table held (id int) engine = aria')
  await using _another = await privateMariadb()
  await connection.query('drop table held')
  connection.destroy()
})

test('paused it answers nothing, resumed it answers what was asked', async () => {
  await using server = await privateMariadb()
  await using database = await mariadb(server.url)
  await database.pool.query('do 0')
  server.pause()
  let isAnswered = false
  const answer = database.pool.query('do 0').then(() => {
    isAnswered = true
  })
  await sleep(200)
  expect(isAnswered).toBe(false)
  server.resume()
  await answer
})

test('a second start on the same data says who has it', async () => {
  await using server = await privateMariadb()
  await expect(startMariadb({ dataDir: server.dataDir })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_IN_USE',
    message: expect.stringContaining(`process ${process.pid}`),
  })
})

test('settings are handed on, and wrong ones are reported', async () => {
  await using server = await privateMariadb({ settings: { 'max-connections': '17' } })
  expect(await query(server.url, 'select @@max_connections as connections')).toEqual([{ connections: 17 }])
  await expect(privateMariadb({ settings: { 'no-such-setting': '1' }, port: await freePort() })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_START_FAILED',
    message: expect.stringContaining('no-such-setting'),
  })
})

test('a port that is taken is reported, not shared', async () => {
  await using server = await privateMariadb()
  await expect(privateMariadb({ port: server.port })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_START_FAILED',
    message: expect.stringContaining('Address already in use'),
  })
})

test('without the program the error names the command that installs it', async () => {
  await expect(privateMariadb({ binary: '/nowhere/mariadbd' })).rejects.toMatchObject({
    code: 'POSTCOMMIT_SERVER_NOT_FOUND',
    message: expect.stringMatching(/\/nowhere\/mariadbd.*To install it: /),
  })
})
