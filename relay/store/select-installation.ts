import type { Queryable } from './queryable.ts'

/** Which database this is, and how its log is cut into partitions. */
export interface Installation {
  readonly systemIdentifier: string
  readonly partitionSize: bigint
}

/** The one row of postcommit.installation. */
export async function selectInstallation(client: Queryable): Promise<Installation> {
  const { rows } = await client.query<{ systemIdentifier: string; partitionSize: string }>({
    text: `select system_identifier::text as "systemIdentifier", partition_size::text as "partitionSize"
from postcommit.installation`,
  })
  const [row] = rows
  if (row === undefined) throw new Error('postcommit.installation is empty')
  return { systemIdentifier: row.systemIdentifier, partitionSize: BigInt(row.partitionSize) }
}
