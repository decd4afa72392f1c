import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { expect, test } from 'vitest'
import { selectNamedDeadLetters } from '../../../relay/store/delivery/select-named-dead-letters.ts'
import { listMessages, type MessageFilter } from '../../../relay/store/message/list-messages.ts'
import type { Tables } from '../../../relay/store/tables.ts'
import { database } from '../../support/database.ts'
import { explain, type PlanNode } from '../../support/explain.ts'

const ROWS = 20_000
const PAGE = 51

/** How many rows of the two tables a plan has read, those that it threw away included. */
function rowsRead(nodes: readonly PlanNode[]): number {
  return nodes
    .filter(({ 'Relation Name': table = '' }) => table === 'delivery' || table.startsWith('outbox'))
    .reduce(
      (sum, node) => sum + (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'],
      0,
    )
}

test('a page, the dead letters and what is named are read without the rest of the tables', async () => {
  await using db = await database()
  await db.pool.query(`insert into postcommit.delivery (gid, branch, destination, target, slot, payload, state, settled_at)
select 'g' || n, 1, 'stock', '/', 0, '{}', case when n <= 20 then 'dead' else 'confirmed' end, case when n > 20 then now() end
from generate_series(1, ${ROWS}) n`)
  await db.pool.query(`insert into postcommit.outbox (gid, branch, topic, slot, payload)
select 'p' || n, 1, 'a.b', 0, '{}' from generate_series(1, ${ROWS}) n`)
  await db.pool.query('analyze')
  await db.pool.query('update postcommit.position set snapshot = pg_current_snapshot()')
  const read = async (filter: MessageFilter) =>
    rowsRead(
      await explain(db.pool, async (client) => {
        const query = (text: string, values: unknown[]) => client.query({ text, values })
        const pool = { connect: async () => ({ query, release: () => undefined }), end: async () => undefined }
        // Kysely takes of a pool no more than this.
        await listMessages(
          new Kysely<Tables>({ dialect: new PostgresDialect({ pool: pool as unknown as pg.Pool }) }),
          filter,
          PAGE,
        )
      }),
    )
  expect(await read({})).toBeLessThan(5 * PAGE)
  expect(await read({ states: ['dead'] })).toBeLessThan(5 * PAGE)
  const named = await explain(db.pool, (client) =>
    selectNamedDeadLetters(client, { gids: [{ gid: 'g7', branch: null }], ids: ['9'], limit: PAGE }),
  )
  expect(rowsRead(named)).toBeLessThan(5 * PAGE)
}, 60_000)
