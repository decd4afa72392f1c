import type { Queryable } from '../queryable.ts'
import { DATABASE_OID, TIMELINE } from '../server/select-server-facts.ts'
import { advanceSequence } from './advance-sequence.ts'
import { HANDED_ON } from './handed-on.ts'

/**
 * Makes a log that was written elsewhere readable here, where transaction ids may have started over: every position starts
 * before the xid of this transaction, and that xid is given to all messages that are still to be published. Resolves to how
 * many those are. Run it while no relay serves the database.
 *
 * They are what the positions, as they came, had not handed on, and what was committed here before this ran. Nothing else
 * is published again, unless `sinceMs` asks for it. What brokers have acknowledged is forgotten, because it may have been
 * another broker.
 *
 * The only statement that updates the log as a whole, and only where it must: a handed-on row with an xid that is still to
 * come here is given the oldest there is, all others stay as they are. It reads all of the log once; services commit
 * meanwhile, with xids above that of this transaction.
 *
 * @param sinceMs - rows that were inserted within are published again as well
 */
export async function rebase(client: Queryable, sinceMs?: number): Promise<number> {
  const { rows } = await client.query<{ messages: number }>({
    text: `with here as materialized (
  select pg_current_xact_id() as xid, pg_current_xact_id()::text::numeric as number
), home as (
  update postcommit.installation set system_identifier = (select system_identifier from pg_control_system()),
    database_oid = ${DATABASE_OID}, timeline = ${TIMELINE}, place = null, doubt = null, doubted_at = null
), marks as (
  delete from postcommit.broker_mark
), start as (
  update postcommit.position set owner = null, epoch = epoch + 1, low = 0, floor = 0, floor_snapshot = null,
    window_snapshot = null, window_id = null, stream = null, stream_sequence = null, message_id = null,
    snapshot = (here.xid::text || ':' || here.xid::text || ':')::pg_snapshot
  from here
), written as (
  update postcommit.outbox log set xid = case when ${WAITS} then here.xid else '3'::xid8 end
  from here where ${WAITS} or log.xid >= here.xid returning log.xid = here.xid as waits
)
select count(*) filter (where waits)::int as messages from written`,
    values: [sinceMs ?? null],
  })
  await advanceSequence(client)
  return rows[0]?.messages ?? 0
}

/** The xid of the transaction that wrote a row, from the 32 bits of it that the row has. */
const writerOf = (row: string): string =>
  `(here.number - mod(mod(here.number - ${row}.xmin::text::numeric, 4294967296) + 4294967296, 4294967296))`

/**
 * Whether a row was committed in this cluster after its log was restored. Its xid is small, and a position of a cluster
 * that was further takes it for handed on. A restored position was written by a transaction that is older than its own
 * snapshot, which gives such a position away; a restored row has an xid that is not its writer's.
 */
const COMMITTED_HERE = `exists (
  select from postcommit.position p where log.slot between p.slot_first and p.slot_last
    and ${writerOf('p')} < pg_snapshot_xmin(p.snapshot)::text::numeric
    and log.xid::text::numeric between ${writerOf('p')} and ${writerOf('log')}
)`

const WAITS = `(not ${HANDED_ON} or ${COMMITTED_HERE}
  or coalesce(log.created_at >= clock_timestamp() - $1 * interval '1 millisecond', false))`
