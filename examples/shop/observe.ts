import { setTimeout as sleep } from 'node:timers/promises'
import type { Books } from './ledger.ts'

const LOOK_MS = 50

/**
 * Waits until there are as many effects as orders at every end and nothing is left to deliver; says whether that came
 * about in time. That they are the right effects is for the ledger to find out.
 */
export async function untilQuiet(books: Books, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (!(await isQuiet(books))) {
    if (performance.now() > deadline) return false
    await sleep(LOOK_MS)
  }
  return true
}

async function isQuiet({ orders, stock, mail }: Books): Promise<boolean> {
  const { rows } = await orders.query<{ placed: number; open: number }>(
    `select (select count(*) from orders)::int as placed,
      (select count(*) from postcommit.delivery where settled_at is null)::int as open`,
  )
  const { placed = 0, open = 0 } = rows[0] ?? {}
  if (open > 0) return false
  const deducted = await stock.pool.query('select from deductions')
  const mailed = await mail?.pool.query('select from mails')
  return (deducted.rowCount ?? 0) >= placed && (mailed?.rowCount ?? placed) >= placed
}

/** How many messages for NATS are in the log and not handed on. */
export async function heldForNats({ orders }: Books): Promise<number> {
  const { rows } = await orders.query<{ held: number }>(
    `select count(*)::int as held from postcommit.outbox log
     join postcommit.position on log.slot between slot_first and slot_last
     where not pg_visible_in_snapshot(log.xid, position.snapshot)`,
  )
  return rows[0]?.held ?? 0
}

/** The name of the relay that publishes to NATS at the moment; the others stand by. */
export async function publishingRelay({ orders }: Books): Promise<string | undefined> {
  const { rows } = await orders.query<{ name: string }>(
    'select name from postcommit.relay join postcommit.position on owner = relay.id order by shard limit 1',
  )
  return rows[0]?.name
}

/** Orders that are committed although no customer has been told so yet. */
export async function untoldOrders({ orders }: Books, told: readonly string[]): Promise<readonly string[]> {
  const { rows } = await orders.query<{ id: string }>('select id from orders where id <> all ($1)', [told])
  return rows.map(({ id }) => id)
}
