import type { Queryable } from '../queryable.ts'

/** A sequence that stands before ids that are there. */
export interface SequenceLag {
  readonly sequence: bigint
  readonly highest: bigint
}

/** How far the sequence of the log was set back; undefined if it stands where it should. */
export async function selectSequenceLag(client: Queryable): Promise<SequenceLag | undefined> {
  const { rows } = await client.query<{ sequence: string; highest: string }>({
    text: `select highest, sequence from (select ${HIGHEST} as highest, (select ${SEQUENCE} from postcommit.outbox_id) as sequence) log
where sequence < highest`,
  })
  const [row] = rows
  return row === undefined ? undefined : { sequence: BigInt(row.sequence), highest: BigInt(row.highest) }
}

/** A sequence that was put right. */
export interface AdvancedSequence {
  readonly from: bigint
  readonly to: bigint
  /** The first of the ids that were left free below `to`. */
  readonly room: bigint
}

/**
 * Takes the sequence of the log beyond every id that is there and beyond the positions, if it stands before: it was set
 * back, and what is committed meanwhile draws ids that are taken (23505) or lie below the lower bound of a reader.
 * Resolves to undefined if it stands where it should.
 *
 * It only goes forward: the lock keeps two relays from setting it one after the other, with ids drawn in between. It is
 * the only lock, so services are not kept waiting. Plan: the last row of each primary key, a few positions.
 *
 * @param room - so many ids are left free between those that are there and what the sequence gives next
 */
export async function advanceSequence(client: Queryable, room = 0): Promise<AdvancedSequence | undefined> {
  const { rows } = await client.query<{ from: string; to: string }>({
    text: `with highest as materialized (
  select ${HIGHEST} as id
), turn as materialized (
  select id, pg_advisory_xact_lock(${ADVANCE_LOCK}) from highest
  where id > (select ${SEQUENCE} from postcommit.outbox_id)
), stood as materialized (
  select turn.id, (select ${SEQUENCE} from postcommit.outbox_id where turn.id is not null) as "from" from turn
)
select "from", setval('postcommit.outbox_id', id + $1) as "to" from stood where "from" < id`,
    values: [room],
  })
  const [row] = rows
  return row === undefined
    ? undefined
    : { from: BigInt(row.from), to: BigInt(row.to), room: BigInt(row.to) - BigInt(room) + 1n }
}

const HIGHEST = `greatest((select max(id) from postcommit.outbox), (select max(id) from postcommit.delivery),
    (select max(low) from postcommit.position))`

const ADVANCE_LOCK = '8107365745'

/** The newest id that the sequence has given. */
export const SEQUENCE = 'case when is_called then last_value else last_value - 1 end'
