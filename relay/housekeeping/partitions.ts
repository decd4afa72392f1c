import type { Logger } from 'pino'
import { createPartition } from '../store/log/create-partition.ts'
import { deleteFromDefault } from '../store/log/delete-from-default.ts'
import { drawIds } from '../store/log/draw-ids.ts'
import { dropPartition } from '../store/log/drop-partition.ts'
import { selectDefaultHas } from '../store/log/select-default-has.ts'
import { selectLogProgress } from '../store/log/select-log-progress.ts'
import { selectPartitionBegun } from '../store/log/select-partition-begun.ts'
import { selectPartitionExpired } from '../store/log/select-partition-expired.ts'
import { selectPartitions } from '../store/log/select-partitions.ts'
import type { Queryable } from '../store/queryable.ts'
import { selectInstallation } from '../store/server/select-installation.ts'
import { type LockHolder, selectLockHolders } from '../store/server/select-lock-holders.ts'

/** A partition that is past its retention and is still there. */
export interface OverduePartition {
  readonly name: string
  /** Sessions that have it open; none if they came and went. */
  readonly holders: readonly LockHolder[]
}

/** Partitions that exist beyond the one being written. */
const AHEAD = 2n

/** What is kept longer than the retention is at most what arrived in this part of it: a partition goes as a whole. */
const PART_OF_RETENTION = 4
const PARTITION_AGE_MIN_MS = 60_000

const CHECK_VIOLATION = '23514'
const LOCK_NOT_AVAILABLE = '55P03'

/** Ids within this part of a partition may be given while one is made. */
const NEAR_PART = 4n

/** Makes the partitions that the log will need next. */
export async function makePartitionsAhead(client: Queryable, log: Logger): Promise<void> {
  const { partitionSize } = await selectInstallation(client)
  const { sequence } = await selectLogProgress(client)
  const existing = new Set((await selectPartitions(client)).map(({ name }) => name))
  const current = sequence / partitionSize
  for (let index = current; index <= current + AHEAD; index += 1n) {
    const name = `outbox_p${index}`
    const [start, end] = [index * partitionSize, (index + 1n) * partitionSize]
    // What arrived while no relay was running stays in the default partition.
    if (existing.has(name) || (await selectDefaultHas(client, start, end))) continue
    try {
      await createPartition(client, name, { start, end, isNear: start - sequence < partitionSize / NEAR_PART })
      log.info({ partition: name }, 'partition made')
    } catch (error) {
      await client.query({ text: 'rollback' })
      // They arrived since it was looked at.
      if (!hasCode(error, CHECK_VIOLATION) && !hasCode(error, LOCK_NOT_AVAILABLE)) throw error
    }
  }
}

/** A lock that a session has held for longer is not waited for, not even for as long as the statement would. */
const HELD_MS = 1000

/**
 * Ends the partition that is being written when it has grown old, so that a log with few messages is dropped by time as
 * well: a million of them can be two years. The rest of its ids is thrown away; there are enough for nine billion
 * partitions. Deleting row by row instead would leave dead rows at the place where the log is read. Cutting the partition
 * would lock the log against its writers.
 */
export async function endOldPartition(client: Queryable, retentionMs: number, log: Logger): Promise<void> {
  const { partitionSize } = await selectInstallation(client)
  const { sequence } = await selectLogProgress(client)
  const existing = new Set((await selectPartitions(client)).map(({ name }) => name))
  const current = sequence / partitionSize
  const name = `outbox_p${current}`
  const last = (current + 1n) * partitionSize - 1n
  // Without the next one, what follows would land in the default partition.
  if (sequence === last || !existing.has(name) || !existing.has(`outbox_p${current + 1n}`)) return
  const ageMs = Math.max(PARTITION_AGE_MIN_MS, retentionMs / PART_OF_RETENTION)
  if (!(await selectPartitionBegun(client, name, ageMs))) return
  await drawIds(client, last)
  log.info({ partition: name }, 'partition ended by age')
}

/**
 * Drops what is handed on and older than the retention. Published rows are kept that long on purpose: a broker
 * acknowledges before it writes to disk, and until it has, these rows are the only copy.
 *
 * A partition may go when all its ids are at or below the positions' `low`: by its definition no row at or below is
 * still to be handed on, not even one of a transaction that is open now.
 *
 * Resolves to what keeps the oldest that may go from going: a session that has it open, a backup or a report. It is not
 * waited for: everyone who came after would wait behind this, the readers of the log first of all.
 */
export async function dropOldPartitions(
  client: Queryable,
  retentionMs: number,
  log: Logger,
): Promise<OverduePartition | undefined> {
  const { low } = await selectLogProgress(client)
  await deleteFromDefault(client, low, retentionMs)
  for (const { name, end } of await selectPartitions(client)) {
    if (end - 1n > low) break
    if (!(await selectPartitionExpired(client, name, retentionMs))) break
    const holders = await selectLockHolders(client, `postcommit.${name}`, HELD_MS)
    if (holders.length > 0) return { name, holders }
    try {
      if (!(await dropPartition(client, name))) break
      log.info({ partition: name }, 'partition dropped')
    } catch (error) {
      await client.query({ text: 'rollback' })
      if (!hasCode(error, LOCK_NOT_AVAILABLE)) throw error
      return { name, holders: [] }
    }
  }
  return undefined
}

function hasCode(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code
}
