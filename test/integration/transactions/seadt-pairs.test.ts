/**
 * D6: seadt's table of which state of a branch may be seen beside which of its transaction. The simulation holds the
 * engine to it (I8); here a relay is, by looking at every commit that it makes in its database.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRelay } from '@postcommit/relay'
import type pg from 'pg'
import { pino } from 'pino'
import type { TransactionOperation } from 'postcommit/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { seededRandom } from '../../fault/random.ts'
import { PAIRS, type Pair } from '../../simulation/transactions/invariants.ts'
import { gidOf, sagaOf, type TestCoordinator, testCoordinator } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { impatient } from '../../support/dispatchers.ts'
import { eventually } from '../../support/eventually.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'
import { storedTransaction } from '../../support/transactions.ts'

const TIMEOUT_MS = 120_000
const SAGAS = 60

let db: TestDatabase
let service: HttpService
let relay: TestCoordinator
let random: () => number

beforeEach(async () => {
  db = await database()
  await db.pool.query(WATCH)
  random = seededRandom(20_260_101)
  const answers = [200, 200, 200, 200, 425, 500, 409]
  service = await httpService(async ({ path }) => {
    await sleep(random() * 20)
    // What has been decided is not refused for ever.
    const status = answers[Math.floor(random() * answers.length)] ?? 200
    return path.startsWith('/undo') && random() < 0.5 ? 200 : status
  })
  relay = await testCoordinator(db.url, [impatient('stock', service.url)])
})
afterEach(async () => {
  await relay.end()
  await service[Symbol.asyncDispose]()
  await db.drop()
})

/** At the end of each transaction, when all of it is there, and before anybody else can see it. */
const WATCH = `
create table seen (run_by text not null, branch text not null, transaction text not null);
create function see() returns trigger language plpgsql as $$
declare
  of bigint := case when tg_table_name = 'branch' then (to_jsonb(new) ->> 'transaction_id')::bigint
    else (to_jsonb(new) ->> 'id')::bigint end;
begin
  insert into seen
  select distinct t.run_by,
    case when undo.status = 'succeed' then 'canceled' when action.status = 'succeed' then 'confirmed'
      when action.start_seq is null then 'unregistered' else 'prepared' end,
    t.status
  from postcommit.global_transaction t join postcommit.branch action on action.transaction_id = t.id
    left join postcommit.branch undo
      on undo.transaction_id = t.id and undo.branch = action.branch and undo.op = 'compensate'
  where t.id = of and action.op = 'action';
  return null;
end $$;
create constraint trigger see after insert or update on postcommit.branch
  deferrable initially deferred for each row execute function see();
create constraint trigger see after insert or update on postcommit.global_transaction
  deferrable initially deferred for each row execute function see();`

async function pairsSeen(client: pg.Pool, runBy: 'client' | 'relay'): Promise<readonly string[]> {
  const { rows } = await client.query<{ pair: string }>(
    `select distinct branch || ' while ' || transaction as pair from seen where run_by = $1 order by pair`,
    [runBy],
  )
  return rows.map(({ pair }) => pair)
}

const allowed = (runBy: 'client' | 'relay') =>
  Object.entries(PAIRS[runBy]).flatMap(([branch, statuses]) =>
    statuses.map((status) => `${branch as Pair} while ${status}`),
  )

async function untilEnded(): Promise<void> {
  await eventually(
    async () => {
      const { rows } = await db.pool.query<{ open: number }>(
        'select count(*)::int as open from postcommit.global_transaction where finished_at is null',
      )
      expect(rows[0]?.open).toBe(0)
    },
    { timeoutMs: 60_000 },
  )
}

test('sagas that the relay runs are never seen otherwise', { timeout: TIMEOUT_MS }, async () => {
  await Promise.all(
    Array.from({ length: SAGAS }, async (_, n) => {
      const steps = ['a', 'b', 'c', 'd'].slice(0, 1 + (n % 4))
      const options = { concurrent: n % 2 === 0, retry: { baseMs: 5, capMs: 20 }, retryLimit: 3 }
      await relay.perform({ do: 'submit', gid: gidOf('saga'), transaction: sagaOf(steps, options) })
    }),
  )
  await untilEnded()
  const seen = await pairsSeen(db.pool, 'relay')
  expect(allowed('relay')).toEqual(expect.arrayContaining([...seen]))
  expect(seen).toEqual(
    expect.arrayContaining([
      'prepared while submitted',
      'confirmed while submitted',
      'confirmed while succeed',
      'prepared while aborting',
      'confirmed while aborting',
      'canceled while aborting',
      'canceled while failed',
    ]),
  )
})

test('sagas that their initiator runs are never seen otherwise', { timeout: TIMEOUT_MS }, async () => {
  await relay.end()
  // A whole one, with what looks after deadlines.
  const whole = createRelay({
    db: db.url,
    destinations: { stock: { url: service.url, timeoutMs: 2000, backOff: { baseMs: 10, capMs: 50 } } },
    coordinator: { database: 'main' },
    log: pino({ level: 'silent' }),
  })
  await whole.start()
  const perform = async (operation: TransactionOperation) => await whole.transactions?.perform(operation)
  const run = async (n: number): Promise<void> => {
    const gid = gidOf('live')
    const options = { retry: { baseMs: 5, capMs: 20 }, ...(n % 5 === 0 && { timeoutMs: 1000 }) }
    await perform({ do: 'prepare', gid, transaction: { mode: 'saga', branches: [], options } })
    for (const name of ['a', 'b', 'c'].slice(0, 1 + (n % 3))) {
      const at = (path: string) => ({ destination: 'stock', path })
      // Where its action is need not be said: nobody else calls it.
      const ops = { ...(n % 4 !== 1 && { action: at(`/${name}`) }), compensate: at(`/undo-${name}`) }
      await perform({ do: 'registerBranch', gid, mode: 'saga', branch: { branch: name, ops, payload: '{}' } })
      await sleep(random() * 20)
    }
    // Some go away without a word.
    if (n % 5 === 0) return
    await perform({ do: random() < 0.5 ? 'submit' : 'abort', gid })
  }
  await Promise.all(Array.from({ length: SAGAS }, (_, n) => run(n)))
  await untilEnded()
  await whole.stop()
  const { rows } = await db.pool.query<{ status: string; undo: string; n: number }>(
    `select t.status, b.status as undo, count(*)::int as n
     from postcommit.global_transaction t join postcommit.branch b on b.transaction_id = t.id
     where b.op = 'compensate' group by 1, 2 order by 1, 2`,
  )
  expect(rows.map(({ status, undo }) => `${status}: undo ${undo}`)).toEqual([
    'failed: undo succeed',
    'succeed: undo prepared',
  ])
  expect(await pairsSeen(db.pool, 'client')).toEqual(
    allowed('client')
      .filter((pair) => !UNSEEN.includes(pair))
      .sort(),
  )
})

/** What the table allows and cannot be seen here: nobody is told that an action has ended, and what is not there has no row. */
const UNSEEN = ['confirmed while aborting', 'unregistered while aborting', 'unregistered while prepared']

test('and whoever writes otherwise is seen', async () => {
  const gid = gidOf('saga')
  service = await httpService()
  const calm = await testCoordinator(db.url, [impatient('stock', service.url)])
  await calm.perform({ do: 'submit', gid, transaction: sagaOf(['a']), waitMs: 10_000 })
  await calm.end()
  expect((await storedTransaction(db.pool, gid)).status).toBe('succeed')
  await db.pool.query(`update postcommit.branch set status = 'prepared', finished_at = null where op = 'action'`)
  const seen = await pairsSeen(db.pool, 'relay')
  expect(seen.filter((pair) => !allowed('relay').includes(pair))).toEqual(['prepared while succeed'])
})
