import type { Whereabouts } from '../../engine/whereabouts.ts'
import type { Queryable } from '../queryable.ts'
import { DATABASE_OID } from './select-server-facts.ts'

/** Which database this is, and how its log is cut into partitions. */
export interface Installation extends Whereabouts {
  readonly partitionSize: bigint
  /** Where it was when a broker had what it had acknowledged; null: not known yet. */
  readonly place: string | null
  /** Why committed transactions may be missing, until an operator acknowledges it. */
  readonly doubt: string | null
}

/** Whether the log was written in this database: `originOf`, for statements that would otherwise count what means nothing. */
export const IS_HOME = `exists (
  select from postcommit.installation i, pg_control_system() c
  where i.system_identifier = c.system_identifier
    and (i.database_oid is null or i.database_oid = ${DATABASE_OID})
)`

/** The one row of postcommit.installation. */
export async function selectInstallation(client: Queryable): Promise<Installation> {
  const { rows } = await client.query<Omit<Installation, 'partitionSize'> & { partitionSize: string }>({
    text: `select system_identifier::text as "systemIdentifier", partition_size::text as "partitionSize",
  database_oid::text as "databaseOid", timeline, place, doubt from postcommit.installation`,
  })
  const [row] = rows
  if (row === undefined) throw new Error('postcommit.installation is empty')
  return { ...row, partitionSize: BigInt(row.partitionSize) }
}
