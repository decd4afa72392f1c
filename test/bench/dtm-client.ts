import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { Pool } from 'undici'
import type { DtmTransaction } from './dtm-store.ts'

/** What DTM's clients do for a service. */
export interface DtmClient {
  /** A two-phase message: prepare, the local transaction with its barrier row, submit; each is waited for. */
  commit(db: pg.Pool, message: DtmMessage, work: (client: pg.PoolClient) => Promise<unknown>): Promise<void>
  /** A saga: handed in with one request. */
  submit(saga: Omit<DtmTransaction, 'gid' | 'trans_type'>): Promise<void>
  close(): Promise<void>
}

/** Where a message goes, and who can be asked about it. */
export interface DtmMessage {
  readonly action: string
  readonly payload: string
  readonly queryPrepared: string
}

/** Opens a client with so many kept connections. */
export function openDtmClient(url: string, connections: number): DtmClient {
  const pool = new Pool(url, { connections, pipelining: 1 })
  async function post(operation: 'prepare' | 'submit', transaction: DtmTransaction): Promise<void> {
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: `/api/dtmsvr/${operation}`,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(transaction),
    })
    const text = await body.text()
    if (statusCode !== 200) throw new Error(`${operation} was answered ${statusCode}: ${text}`)
  }
  return {
    async commit(db, { action, payload, queryPrepared }, work) {
      const gid = randomUUID()
      const message: DtmTransaction = {
        gid,
        trans_type: 'msg',
        steps: [{ action }],
        payloads: [payload],
        query_prepared: queryPrepared,
      }
      await post('prepare', message)
      await transactBehindBarrier(db, gid, work)
      await post('submit', message)
    },
    submit: (saga) => post('submit', { gid: randomUUID(), trans_type: 'saga', ...saga }),
    close: () => pool.close(),
  }
}

async function transactBehindBarrier(
  db: pg.Pool,
  gid: string,
  work: (client: pg.PoolClient) => Promise<unknown>,
): Promise<void> {
  const client = await db.connect()
  try {
    await client.query('begin')
    const { rowCount } = await client.query({
      name: 'barrier',
      text: `insert into dtm_barrier.barrier (trans_type, gid, branch_id, op, barrier_id, reason)
values ($1, $2, $3, $4, $5, $6) on conflict on constraint uniq_barrier do nothing`,
      values: ['msg', gid, '00', 'msg', '01', 'msg'],
    })
    if (rowCount !== 1) throw new Error(`${gid} was given up`)
    await work(client)
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}
