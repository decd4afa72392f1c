import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { DISPATCHER_OPTIONS } from '../../relay/postgres/sessions.ts'
import { type Claimed, claimDue } from '../../relay/store/delivery/claim-due.ts'
import type { NotedAct } from '../../relay/store/operator/note-operator-act.ts'
import type { Queryable } from '../../relay/store/queryable.ts'
import { database, type TestDatabase } from './database.ts'

/** What a test says of a row of `delivery`; the rest does not matter to it. */
export interface DeliveryRow {
  readonly destination?: string
  readonly key?: string | undefined
  readonly state?: 'pending' | 'held' | 'confirmed' | 'dead' | 'discarded'
  /** When it is due: milliseconds from now, default at once. */
  readonly dueInMs?: number
  readonly attempts?: number
  readonly target?: string
  readonly payload?: string
  readonly headers?: string
  /** For settled rows: how long ago, milliseconds. */
  readonly settledMsAgo?: number
}

/** Inserts deliveries and resolves to their ids, in the order given. */
export async function insertDeliveries(client: Queryable, rows: readonly DeliveryRow[]): Promise<string[]> {
  const column = <T>(value: (row: DeliveryRow) => T): T[] => rows.map(value)
  const { rows: inserted } = await client.query<{ id: string }>({
    text: `insert into postcommit.delivery
  (gid, branch, destination, target, key, slot, payload, headers, state, due_at, attempts, settled_at)
select $1, n, destination, target, key, 0, payload, headers, state,
  clock_timestamp() + due_in_ms * interval '1 millisecond', attempts,
  case when state in ('confirmed', 'discarded') then clock_timestamp() - settled_ms_ago * interval '1 millisecond' end
from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[], $9::int[], $10::float8[])
  with ordinality as r (destination, target, key, payload, headers, state, due_in_ms, attempts, settled_ms_ago, n)
order by n returning id`,
    values: [
      randomUUID(),
      column(({ destination = 'stock' }) => destination),
      column(({ target = '/' }) => target),
      column(({ key }) => key ?? null),
      column(({ payload = '{}' }) => payload),
      column(({ headers }) => headers ?? null),
      column(({ state = 'pending' }) => state),
      column(({ dueInMs = -1000 }) => dueInMs),
      column(({ attempts = 0 }) => attempts),
      column(({ settledMsAgo = 0 }) => settledMsAgo),
    ],
  })
  return inserted.map(({ id }) => id)
}

/** Enters a relay that never ends, for statements that ask whether it is there. */
export async function insertTestRelay(client: Queryable): Promise<string> {
  const { rows } = await client.query<{ id: string }>({
    text: `insert into postcommit.relay (name, version, lease_until) values ('test', '0', 'infinity') returning id`,
  })
  return rows[0]?.id ?? ''
}

/** The states of all deliveries in the order of their ids. */
export async function deliveryStates(client: Queryable): Promise<string[]> {
  const { rows } = await client.query<{ state: string }>({ text: 'select state from postcommit.delivery order by id' })
  return rows.map(({ state }) => state)
}

/** Claims of one destination, with a token of its own. */
export async function claimFrom(
  client: Queryable,
  relay: string,
  { destination = 'stock', free = 10, leaseMs = 60_000, depth = 0 } = {},
): Promise<Claimed & { readonly token: string }> {
  const token = randomUUID()
  return { ...(await claimDue(client, relay, token, leaseMs, [{ destination, free }], depth)), token }
}

/** An act on dead letters of its own. */
export function notedAct(actor = 'test', reason = 'test'): NotedAct {
  return { actor, reason, token: randomUUID(), selection: {} }
}

/** Options for a pool whose sessions are those of the dispatcher. */
export function dispatcherSessions(url: string): pg.PoolConfig {
  return { connectionString: url, max: 6, options: DISPATCHER_OPTIONS }
}

/** What the statements about deliveries are tested with. */
export interface DeliveryFixture {
  /** As the sessions of a dispatcher. */
  readonly pool: pg.Pool
  /** The id of a relay that is there in each test. */
  readonly relay: string
}

/** For each test of a file a database without deliveries in which one relay is alive. To be called at the top of the file. */
export function useDeliveries(): DeliveryFixture {
  let db: TestDatabase
  let pool: pg.Pool
  let relay: string
  beforeAll(async () => {
    db = await database()
    pool = new pg.Pool(dispatcherSessions(db.url))
  })
  afterAll(async () => {
    await pool.end()
    await db.drop()
  })
  beforeEach(async () => {
    relay = await insertTestRelay(pool)
  })
  afterEach(() => pool.query('truncate postcommit.delivery, postcommit.claim, postcommit.relay cascade'))
  return {
    get pool() {
      return pool
    },
    get relay() {
      return relay
    },
  }
}
