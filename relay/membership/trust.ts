import { PostcommitError } from 'postcommit/protocol'
import { originOf } from '../engine/whereabouts.ts'
import { requireServableSchema } from '../store/migrate.ts'
import type { Queryable } from '../store/queryable.ts'
import { selectInstallation } from '../store/server/select-installation.ts'
import { selectServerFacts } from '../store/server/select-server-facts.ts'

const POSTGRES_MINIMUM = 150_000

/**
 * Whether a database can be relied on: new enough, the primary, keeping what it commits, with a schema this relay
 * can serve, and the cluster and the database in which its log was written.
 *
 * @throws `POSTCOMMIT_UNSUPPORTED_SERVER`, `POSTCOMMIT_NOT_PRIMARY`, `POSTCOMMIT_UNSAFE_DURABILITY`,
 * `POSTCOMMIT_MIGRATION_PENDING`, `POSTCOMMIT_SCHEMA_TOO_NEW`, `POSTCOMMIT_RESTORED_DATABASE`.
 */
export async function requireTrustworthy(client: Queryable, database: string): Promise<void> {
  const facts = await selectServerFacts(client)
  if (facts.versionNumber < POSTGRES_MINIMUM) {
    throw new PostcommitError('POSTCOMMIT_UNSUPPORTED_SERVER', {
      server: 'PostgreSQL',
      version: facts.version,
      minimum: '15',
    })
  }
  if (facts.standby) throw new PostcommitError('POSTCOMMIT_NOT_PRIMARY', { database })
  const off = [!facts.fsync && 'fsync is off', !facts.fullPageWrites && 'full_page_writes is off'].filter(Boolean)
  if (off.length > 0) throw new PostcommitError('POSTCOMMIT_UNSAFE_DURABILITY', { reason: off.join(', ') })
  await requireServableSchema(client, database)
  const origin = originOf(await selectInstallation(client), facts)
  if (origin !== undefined) throw new PostcommitError('POSTCOMMIT_RESTORED_DATABASE', { database, origin })
}
