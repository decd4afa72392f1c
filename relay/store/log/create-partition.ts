import type { Queryable } from '../queryable.ts'

/**
 * Adds the partition for ids from `start` to below `end`.
 *
 * Attached rather than created in place: CREATE … PARTITION OF locks the whole log against its writers, ATTACH only
 * against other changes of its structure. The lock it does take on the default partition waits 100 ms at most.
 * Fails with 23514 if the default partition holds ids of the range already; they stay there then.
 */
export async function createPartition(client: Queryable, name: string, start: bigint, end: bigint): Promise<void> {
  const table = `postcommit.${name}`
  await client.query({
    text: `begin;
set local lock_timeout = '100ms';
create table ${table} (like postcommit.outbox including all);
alter table postcommit.outbox attach partition ${table} for values from (${start}) to (${end});
commit`,
  })
}
