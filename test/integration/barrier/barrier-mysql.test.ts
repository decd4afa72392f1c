import { randomUUID } from 'node:crypto'
import { createPool as createCallbackPool } from 'mysql2'
import { createPool, type Pool, type RowDataPacket } from 'mysql2/promise'
import { barrierFrom, createBarrier, createBarrierTable, queryPrepared, redisStore } from 'postcommit/barrier'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createFaultProxy } from '../../support/fault-proxy.ts'
import { mariadb, type TestMariadb } from '../../support/mariadb.ts'
import { privateMariadb } from '../../support/private-servers.ts'

let db: TestMariadb
let pool: Pool
let gid: string

beforeAll(async () => {
  db = await mariadb()
  pool = db.pool
  await createBarrierTable(pool)
  await pool.query('create table effect (id varchar(64) not null)')
})
afterAll(() => db.drop())
beforeEach(async () => {
  gid = randomUUID()
  await pool.query('delete from effect')
})

const action = () => createBarrier({ gid, branch: '01', op: 'action' })
const count = async (table: string, where = '1 = 1') => {
  const [rows] = await pool.query<RowDataPacket[]>(`select count(*) as n from ${table} where ${where}`)
  return Number(rows[0]?.['n'])
}
const rowsOf = () => count('postcommit_barrier', `gid = '${gid}'`)

/** The server opens the next transaction by itself, and its status says that one is open. */
function withoutAutocommit(): Pool {
  const callbacks = createCallbackPool(db.url)
  callbacks.on('connection', (connection) => connection.query('set autocommit = 0'))
  return callbacks.promise()
}

test('the table can be made again without harm', async () => {
  await action().call(pool, () => undefined)
  await createBarrierTable(pool)
  expect(await rowsOf()).toBe(1)
})

describe('what the server does behind the back of the work', () => {
  test('a deadlock rolls everything back and lets the work go on without a transaction: it is not a success', async () => {
    await pool.query('create or replace table lane (id int primary key, n int not null)')
    await pool.query('insert into lane values (1, 0), (2, 0)')
    const rival = await pool.getConnection()
    await rival.beginTransaction()
    // More changes: the server gives up the transaction that has done less.
    await rival.query("insert into effect select 'x' from seq_1_to_100")
    await rival.query('update lane set n = n + 1 where id = 2')
    const call = action().call(pool, async (tx) => {
      await tx.query('update lane set n = n + 1 where id = 1')
      const waiting = rival.query('update lane set n = n + 1 where id = 1')
      // Swallowed, as a careless handler would.
      await tx.query('update lane set n = n + 1 where id = 2').catch((error: { errno: number }) => {
        expect(error.errno).toBe(1213)
      })
      await waiting
      await rival.rollback()
    })
    await expect(call).rejects.toMatchObject({ code: 'POSTCOMMIT_TX_ABORTED' })
    rival.release()
    expect(await rowsOf()).toBe(0)
  })

  test('DDL commits what came before it: the call does not succeed', async () => {
    const call = action().call(pool, (tx) => tx.query('create or replace table made (id int)'))
    await expect(call).rejects.toMatchObject({
      code: 'POSTCOMMIT_TX_ENDED',
      message: expect.stringContaining('committed'),
    })
  })

  describe.each([
    ['on', () => createPool(db.url)],
    ['off', withoutAutocommit],
  ] as const)('with autocommit %s', (_, open) => {
    test.each(['rollback', 'rollback; begin'])('"%s" in the work is not a success, however often', async (end) => {
      const own = open()
      for (let call = 0; call < 2; call += 1) {
        const calling = action().call(own, async (tx) => {
          await tx.query("insert into effect values ('before')")
          for (const text of end.split('; ')) await tx.query(text)
        })
        await expect(calling).rejects.toMatchObject({ code: 'POSTCOMMIT_TX_ABORTED' })
      }
      expect([await rowsOf(), await count('effect')]).toEqual([0, 0])
      await own.end()
    })

    test.each(['commit', 'commit; begin'])('"%s" in the work is said, with what stands', async (end) => {
      const own = open()
      const calling = action().call(own, async (tx) => {
        for (const text of end.split('; ')) await tx.query(text)
      })
      const said = { code: 'POSTCOMMIT_TX_ENDED', message: expect.stringContaining('it was committed') }
      await expect(calling).rejects.toMatchObject(said)
      expect(await rowsOf()).toBe(1)
      await own.end()
    })

    test('savepoints of the work are part of it', async () => {
      const own = open()
      const calling = action().call(own, async (tx) => {
        await tx.query('savepoint a')
        await tx.query("insert into effect values ('gone')")
        await tx.query('rollback to savepoint a')
        await tx.query("insert into effect values ('a')")
      })
      expect(await calling).toMatchObject({ skipped: false })
      expect([await rowsOf(), await count('effect')]).toEqual([1, 1])
      await own.end()
    })
  })

  test('a snapshot from before does not hide the row that is in the way', async () => {
    const connection = await pool.getConnection()
    await connection.beginTransaction()
    await connection.query('select * from postcommit_barrier')
    await action().call(pool, () => undefined)
    // What a plain read in this transaction shows: the insert finds a row that the SELECT does not.
    const [seen] = await connection.query<RowDataPacket[]>('select * from postcommit_barrier where gid = ?', [gid])
    expect(seen).toEqual([])
    expect(await action().run(connection, () => undefined)).toEqual({ skipped: 'duplicate' })
    await connection.rollback()
    connection.release()
  })
})

describe('a connection that dies', () => {
  test('before COMMIT leaves nothing, and the next call takes effect', async () => {
    const call = action().call(pool, async (tx) => {
      await tx.query("insert into effect values ('a')")
      await pool.query(`kill connection ${tx.threadId}`)
    })
    await expect(call).rejects.toThrow()
    expect([await rowsOf(), await count('effect')]).toEqual([0, 0])
    expect(await action().call(pool, (tx) => tx.query("insert into effect values ('a')"))).toMatchObject({
      skipped: false,
    })
    expect(await count('effect')).toBe(1)
  })

  test('while COMMIT is answered leaves it unknown, and the next call finds out', async () => {
    const { hostname, port } = new URL(db.url)
    await using proxy = await createFaultProxy({ target: { host: hostname, port: Number(port) } })
    const through = createPool(proxy.through(db.url))
    const call = action().call(through, async (tx) => {
      await tx.query("insert into effect values ('a')")
      // The first OK from here on that was said outside of a transaction: the lowest bit of its status, before the warnings.
      void proxy.cutWhen('down', (bytes) => ((bytes.at(-4) ?? 1) & 1) === 0)
    })
    await expect(call).rejects.toMatchObject({ code: 'POSTCOMMIT_BRANCH_COMMIT_UNKNOWN', retryable: true })
    expect(await action().call(pool, () => undefined)).toEqual({ skipped: 'duplicate' })
    expect(await count('effect')).toBe(1)
    await through.end()
  })

  test('a server that is killed keeps what it has answered', async () => {
    await using server = await privateMariadb()
    const own = createPool(server.url)
    await createBarrierTable(own)
    await action().call(own, () => undefined)
    await server.kill()
    await server.start()
    const again = createPool(server.url)
    expect(await action().call(again, () => undefined)).toEqual({ skipped: 'duplicate' })
    await Promise.all([own.end(), again.end()])
  })
})

describe('a transaction of the user', () => {
  test('a connection outside of one is refused before anything is written', async () => {
    const connection = await pool.getConnection()
    await expect(action().run(connection, () => undefined)).rejects.toMatchObject({
      code: 'POSTCOMMIT_NOT_IN_TRANSACTION',
    })
    connection.release()
    expect(await rowsOf()).toBe(0)
  })

  test('without autocommit there always is one', async () => {
    const connection = await pool.getConnection()
    await connection.query('set autocommit = 0')
    expect(await action().run(connection, () => undefined)).toMatchObject({ skipped: false })
    await connection.commit()
    await connection.query('set autocommit = 1')
    connection.release()
    expect(await rowsOf()).toBe(1)
  })

  test('connections with callbacks are taken by their promised side, pools with callbacks are refused', async () => {
    const callbacks = createCallbackPool(db.url)
    const connection = await callbacks.promise().getConnection()
    await connection.beginTransaction()
    expect(await action().run(connection.connection, () => undefined)).toMatchObject({ skipped: false })
    await connection.rollback()
    connection.release()
    const call = action().call(callbacks as unknown as Pool, () => undefined)
    await expect(call).rejects.toMatchObject({
      code: 'POSTCOMMIT_INVALID_OPTIONS',
      message: expect.stringContaining('pool.promise()'),
    })
    await callbacks.promise().end()
  })
})

// Why the statements are not the usual ones. Each shows the fault in the server as it is.
describe('what others do', () => {
  test('INSERT IGNORE cuts an id that is too long, and takes the next one for the same', async () => {
    const connection = await pool.getConnection()
    await connection.query("set sql_mode = ''")
    const ignore = async (id: string) => {
      const [header] = await connection.query(
        'insert ignore into postcommit_barrier (gid, branch, op, barrier_id, reason) values (?, ?, ?, ?, ?)',
        [id, '01', 'action', '01', 'action'],
      )
      return 'affectedRows' in header ? header.affectedRows : undefined
    }
    const long = gid.padEnd(64, '-')
    expect([await ignore(`${long}a`), await ignore(`${long}b`)]).toEqual([1, 0])
    connection.destroy()
    // Here it does not come so far.
    expect(() => createBarrier({ gid: `${long}a`, branch: '01', op: 'action' })).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_INVALID_GID' }),
    )
    expect(() => createBarrier({ gid, branch: 'b'.repeat(129), op: 'action' })).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_INVALID_BRANCH' }),
    )
  })

  test('ON DUPLICATE KEY UPDATE reports a repetition like an insert', async () => {
    const upsert = async () => {
      const [header] = await pool.query(
        `insert into postcommit_barrier (gid, branch, op, barrier_id, reason) values (?, '01', 'action', '01', 'action')
         on duplicate key update gid = gid`,
        [gid],
      )
      return 'affectedRows' in header ? header.affectedRows : undefined
    }
    expect([await upsert(), await upsert()]).toEqual([1, 1])
  })

  test('ids under a usual collation are the same whatever their case', async () => {
    await pool.query('create or replace table usual (gid varchar(64) primary key) collate utf8mb4_general_ci')
    await pool.query("insert into usual values ('a')")
    await expect(pool.query("insert into usual values ('A')")).rejects.toMatchObject({ errno: 1062 })
  })

  test('two back-queries that wait for a transaction that rolls back deadlock, and none of them says aborted for it', async () => {
    const connection = await pool.getConnection()
    await connection.beginTransaction()
    await connection.query(
      `insert into postcommit_barrier (gid, branch, op, barrier_id, reason) values (?, '', 'commit', '', 'commit')`,
      [gid],
    )
    const verdicts = Promise.all([queryPrepared(pool, gid), queryPrepared(pool, gid), queryPrepared(pool, gid)])
    await pool.query('do sleep(0.3)')
    await connection.rollback()
    connection.release()
    const said = await verdicts
    expect(said).toContain('aborted')
    expect(said.filter((verdict) => verdict !== 'aborted' && verdict !== 'in_progress')).toEqual([])
  })
})

test('the options are checked by name', async () => {
  await expect(queryPrepared(pool, gid, { xid: '1' })).rejects.toMatchObject({ code: 'POSTCOMMIT_INVALID_OPTIONS' })
  expect(() => redisStore({} as never, { tag: 'a' })).toThrow(
    expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }),
  )
  expect(() => barrierFrom({})).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_BRANCH' }))
})
