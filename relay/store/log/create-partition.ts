import type { Queryable } from '../queryable.ts'

/** Which ids a partition is for: from `start` to below `end`. */
export interface PartitionRange {
  readonly start: bigint
  readonly end: bigint
  /** Whether an id of the range may be given before the partition is there. */
  readonly isNear: boolean
}

/**
 * Adds the partition for a range of ids.
 *
 * Attached rather than created in place: CREATE … PARTITION OF locks the whole log against its writers, ATTACH only
 * against other changes of its structure. A writer whose row has been routed to the default partition, though, and
 * waits while a partition for its id is attached, fails with 23514: its commit would be refused. So where an id of the
 * range may be given meanwhile, writers wait for the attachment, before their rows are routed. A lock is waited for
 * 100 ms at most.
 *
 * Fails with 23514 if the default partition holds ids of the range already; they stay there then.
 */
export async function createPartition(client: Queryable, name: string, range: PartitionRange): Promise<void> {
  const table = `postcommit.${name}`
  const { start, end, isNear } = range
  await client.query({
    text: `begin;
set local lock_timeout = '100ms';
${isNear ? 'lock table only postcommit.outbox in share row exclusive mode;' : ''}
create table ${table} (like postcommit.outbox including all);
alter table postcommit.outbox attach partition ${table} for values from (${start}) to (${end});
commit`,
  })
}
