import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import { backQueryHandler, createOutbox, createRelayClient, type Verdict } from 'postcommit'
import { parseSigningSecret, parseVerdict, SIGNATURE_HEADERS, signCall } from 'postcommit/protocol'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { relayDouble } from '../../support/relay-double.ts'

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const nonce = 'n'.repeat(22)

let db: TestDatabase
/** Ended after each test, whatever came of it. */
const opened: pg.Client[] = []

beforeAll(async () => {
  db = await database()
})
afterEach(async () => {
  for (const client of opened.splice(0)) await client.end()
})
afterAll(() => db.drop())
beforeEach(async () => {
  await db.pool.query('truncate postcommit.barrier')
})

interface Reply {
  readonly status: number
  readonly text: string
}

function signed(body: string, at = Date.now()): Record<string, string> {
  const seconds = Math.floor(at / 1000)
  return {
    [SIGNATURE_HEADERS.id]: nonce,
    [SIGNATURE_HEADERS.timestamp]: String(seconds),
    [SIGNATURE_HEADERS.signature]: signCall([parseSigningSecret(secret)], nonce, seconds, body),
  }
}

async function ask(body: string, headers = signed(body), pool: pg.Pool = db.pool, method = 'POST'): Promise<Reply> {
  const handler = backQueryHandler({ db: pool, secrets: [secret], onError: () => undefined })
  const init = { method, headers, body: method === 'GET' ? null : body }
  const response = await handler.fetch(new Request('http://orders/back-query', init))
  return { status: response.status, text: await response.text() }
}

async function verdict(gid: string, hint?: string, pool?: pg.Pool): Promise<Verdict | undefined> {
  const question = { gid, nonce, ...(hint === undefined ? {} : { hint }) }
  const body = JSON.stringify(question)
  const { status, text } = await ask(body, signed(body), pool)
  return status === 200 ? parseVerdict(text, question as never) : undefined
}

/** A transaction with the row of a prepared message, held open. */
async function openTransaction(gid: string): Promise<{ readonly client: pg.Client; readonly xid: string }> {
  const client = new pg.Client({ connectionString: db.url })
  // One of the tests has the server end it.
  client.on('error', () => undefined)
  opened.push(client)
  await client.connect()
  await client.query('begin')
  await client.query(`insert into postcommit.barrier (gid, branch, op, reason) values ($1, '', 'commit', 'commit')`, [
    gid,
  ])
  const { rows } = await client.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
  return { client, xid: rows[0]?.xid ?? '' }
}

describe.each([
  { hinted: true, what: 'with the xid' },
  { hinted: false, what: 'without the xid' },
])('$what', ({ hinted }) => {
  const hintOf = (xid: string) => (hinted ? xid : undefined)

  test('an open transaction is in progress, and then what it came to', async () => {
    const { client, xid } = await openTransaction('g')
    const statements: string[] = []
    const pool: pg.Pool = Object.assign(Object.create(db.pool) as pg.Pool, {
      query(text: string, values: unknown[]) {
        statements.push(text)
        return db.pool.query(text, values)
      },
    })
    expect(await verdict('g', hintOf(xid), pool)).toBe('in_progress')
    // Known by its xid, it is not waited for.
    expect(statements.some((text) => text.includes('add_barrier_row'))).toBe(!hinted)
    await client.query('commit')
    expect(await verdict('g', hintOf(xid))).toBe('committed')
    expect(await verdict('g', hintOf(xid))).toBe('committed')
  })

  test('a transaction that rolled back, or whose session was ended, is given up for ever', async () => {
    const rolledBack = await openTransaction('g')
    await rolledBack.client.query('rollback')
    expect(await verdict('g', hintOf(rolledBack.xid))).toBe('aborted')
    const ended = await openTransaction('h')
    const { rows } = await ended.client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const gone = new Promise((resolve) => ended.client.once('end', resolve))
    await db.pool.query('select pg_terminate_backend($1, 5000)', [rows[0]?.pid])
    await gone
    expect(await verdict('h', hintOf(ended.xid))).toBe('aborted')
    expect(await verdict('h', hintOf(ended.xid))).toBe('aborted')
  })

  test('fifty questions at once about an open transaction agree, whatever it comes to', async () => {
    for (const end of ['commit', 'rollback']) {
      const { client, xid } = await openTransaction(end)
      const asked = Array.from({ length: 50 }, () => verdict(end, hintOf(xid)))
      await new Promise((resolve) => setTimeout(resolve, 20))
      await client.query(end)
      const answers = new Set(await Promise.all(asked))
      answers.delete('in_progress')
      const final = end === 'commit' ? 'committed' : 'aborted'
      expect([...answers].filter((one) => one !== final)).toEqual([])
      expect(await verdict(end, hintOf(xid))).toBe(final)
    }
  })
})

test('nothing there is given up, and the transaction that comes late cannot commit', async () => {
  expect(await verdict('g')).toBe('aborted')
  const { rows } = await db.pool.query('select gid, op, reason from postcommit.barrier')
  expect(rows).toEqual([{ gid: 'g', op: 'commit', reason: 'rollback' }])
  await using double = await relayDouble()
  const relay = createRelayClient({ url: double.url })
  const outbox = createOutbox({ db: db.pool, relay, backQuery: { url: 'http://orders/back-query' } })
  await expect(outbox.commit(() => 'late', { gid: 'g' })).rejects.toMatchObject({ code: 'POSTCOMMIT_GID_ABORTED' })
  expect(await verdict('g')).toBe('aborted')
  await relay.close()
})

test('an xid that is of another transaction by now, of none, or no number decides nothing', async () => {
  const other = await openTransaction('other')
  await other.client.query('commit')
  // The commit log says committed, but of a transaction that has nothing to do with it.
  expect(await verdict('g', other.xid)).toBe('aborted')
  const open = await openTransaction('open')
  expect(await verdict('open', '9999999999999')).toBe('in_progress')
  expect(await verdict('open', 'not a number')).toBe('in_progress')
  expect(await verdict('open', '99999999999999999999')).toBe('in_progress')
  await open.client.query('commit')
  expect(await verdict('open', '9999999999999')).toBe('committed')
})

test.each(['repeatable read', 'serializable'])('under %s by default it says the same', async (level) => {
  const options = `-c default_transaction_isolation=${level.replace(' ', '\\ ')}`
  const pool = new pg.Pool({ connectionString: db.url, options })
  try {
    const { client } = await openTransaction('g')
    const asked = Promise.all([verdict('g', undefined, pool), verdict('g', undefined, pool)])
    await new Promise((resolve) => setTimeout(resolve, 50))
    await client.query('commit')
    expect((await asked).filter((one) => one !== 'in_progress' && one !== 'committed')).toEqual([])
    expect(await verdict('g', undefined, pool)).toBe('committed')
    expect(await verdict('h', undefined, pool)).toBe('aborted')
  } finally {
    await pool.end()
  }
})

test('a database that cannot be asked gives no verdict', async () => {
  const pool = new pg.Pool({ connectionString: 'postgres://nobody@127.0.0.1:1/nothing' })
  expect(await ask(JSON.stringify({ gid: 'g', nonce }), undefined, pool)).toMatchObject({ status: 503 })
  await pool.end()
  const readOnly = new pg.Pool({ connectionString: db.url, options: '-c default_transaction_read_only=on' })
  expect(await verdict('g', undefined, readOnly)).toBeUndefined()
  await readOnly.end()
  expect((await db.pool.query('select from postcommit.barrier')).rowCount).toBe(0)
})

const question = JSON.stringify({ gid: 'g', nonce })
test.each<[string, number, string, Record<string, string> | undefined, string?]>([
  ['no signature', 401, question, {}],
  ['a signature of another body', 401, question, signed(question.replace('"g"', '"h"'))],
  ['an old signature', 401, question, signed(question, Date.now() - 3_600_000)],
  ['no JSON', 400, 'gid=g', undefined],
  ['a field too many', 400, JSON.stringify({ gid: 'g', nonce, op: 'msg' }), undefined],
  ['no gid', 400, JSON.stringify({ gid: '', nonce }), undefined],
  ['a short nonce', 400, JSON.stringify({ gid: 'g', nonce: 'x' }), undefined],
  ['a long story', 413, JSON.stringify({ gid: 'g', nonce, hint: 'x'.repeat(5000) }), undefined],
  ['a GET', 405, question, undefined, 'GET'],
])('%s is answered %d and decides nothing', async (_, status, body, headers, method) => {
  expect((await ask(body, headers ?? signed(body), db.pool, method)).status).toBe(status)
  expect((await db.pool.query('select from postcommit.barrier')).rowCount).toBe(0)
})

test('serves node:http as well, and stores that are not PostgreSQL', async () => {
  const asked: unknown[] = []
  const messages = {
    async settlePreparedMessage(gid: string, hint?: string): Promise<Verdict> {
      asked.push([gid, hint])
      return 'in_progress'
    },
  }
  const server = createServer(backQueryHandler({ messages, secrets: 'unsigned' }).node)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const body = JSON.stringify({ gid: 'g', nonce, hint: 'h' })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const response = await fetch(url, { method: 'POST', body })
  expect(await response.json()).toEqual({ gid: 'g', nonce, outcome: 'in_progress' })
  expect(asked).toEqual([['g', 'h']])
  server.close()
  server.closeAllConnections()
})

test.each([
  { secrets: 'unsigned' as const },
  { secrets: [] },
  { secrets: 'unsigned' as const, db: {} as never, messages: {} as never },
])('%j is refused', (options) => {
  const open = () => backQueryHandler(options)
  expect(open).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }))
})
