import type { Mode, Status } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../queryable.ts'

/** A transaction with everything that its row holds of what was handed in. */
export interface WholeTransaction {
  readonly id: string
  readonly gid: string
  readonly mode: Mode
  readonly status: Status
  readonly protocol: string
  readonly checkTarget: string | null
  readonly options: string | null
  readonly customData: string | null
  readonly extData: string | null
  readonly result: string | null
  readonly rollbackReason: string | null
  readonly backoffMs: number | null
  readonly leaseOwner: string | null
  /** Null: paused. */
  readonly dueAt: Date | null
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly finishedAt: Date | null
}

/** Which transactions of a tenant; all that is given must fit. */
export interface PageFilter {
  readonly tenant: string
  readonly gid?: string | undefined
  readonly status?: string | undefined
  readonly mode?: string | undefined
  /** Handed in from this time until that, both included, in Unix milliseconds. */
  readonly createdFromMs?: number | undefined
  readonly createdUntilMs?: number | undefined
  /** Only those before this id. */
  readonly before?: string | undefined
}

/**
 * Reads whole transactions, newest first, a page at a time by the id. `listTransactions` reads less of each and filters
 * by more; here are the texts that a client of DTM is shown.
 *
 * Plan: an index scan backwards over the primary key, stopped by LIMIT; with a gid Index Scan on global_transaction_gid.
 */
export async function selectTransactionPage(
  client: Queryable,
  filter: PageFilter,
  limit: number,
): Promise<readonly WholeTransaction[]> {
  const { tenant, gid, status, mode, createdFromMs, createdUntilMs, before } = filter
  const { rows } = await client.query<WholeTransaction>({
    text: `select id, gid, mode, status, protocol, check_target as "checkTarget", options, custom_data as "customData",
  ext_data as "extData", result, rollback_reason as "rollbackReason", backoff_ms as "backoffMs",
  lease_owner as "leaseOwner", nullif(due_at, 'infinity') as "dueAt", created_at as "createdAt",
  updated_at as "updatedAt", finished_at as "finishedAt"
from postcommit.global_transaction
where tenant = $1 and ($2::text is null or gid = $2) and ($3::text is null or status = $3)
  and ($4::text is null or mode = $4) and ($5::float8 is null or created_at >= to_timestamp($5::float8 / 1000))
  and ($6::float8 is null or created_at <= to_timestamp($6::float8 / 1000)) and ($7::bigint is null or id < $7)
order by id desc limit $8`,
    values: [
      tenant,
      gid ?? null,
      status ?? null,
      mode ?? null,
      createdFromMs ?? null,
      createdUntilMs ?? null,
      before ?? null,
      limit,
    ],
  })
  return rows
}
