import type pg from 'pg'
import { PostcommitError } from 'postcommit/protocol'
import { originOf } from '../../engine/whereabouts.ts'
import { migrationStatus, readMigrations } from '../../store/migrate.ts'
import { selectInstallation } from '../../store/server/select-installation.ts'
import { selectMissingObjects } from '../../store/server/select-missing-objects.ts'
import { selectMissingPrivileges } from '../../store/server/select-missing-privileges.ts'
import { selectServerFacts } from '../../store/server/select-server-facts.ts'
import { type Check, checksAbout } from './check.ts'

/** Whether the schema is one that a relay can serve; only if it is, the rest of the checks can be made. */
export async function checkSchema(source: string, pool: pg.Pool): Promise<readonly Check[]> {
  const { ok, warn, fail } = checksAbout(source)
  const checks: Check[] = []
  try {
    const { applied, pending, unknown } = await migrationStatus(pool, source)
    const breaking = unknown.find((migration) => migration.breaking)
    if (breaking !== undefined) {
      return [fail('schema', `it is at ${breaking.name}, which this version cannot serve`, 'Run a newer version.')]
    }
    if (pending.length > 0) {
      const missing = pending.map(({ name }) => name).join(', ')
      return [fail('schema', `missing: ${missing}`, 'Run: postcommit migrate')]
    }
    checks.push(ok('schema', `at ${applied.at(-1)?.name}`))
  } catch (error) {
    if (!(error instanceof PostcommitError)) throw error
    checks.push(fail('schema', error.message, error.action))
  }
  const missing = await selectMissingObjects(pool, objectNames())
  const lacking = await selectMissingPrivileges(pool)
  const installation = await selectInstallation(pool)
  const origin = originOf(installation, await selectServerFacts(pool))
  return [
    ...checks,
    missing.length === 0
      ? ok('drift', 'every table and index is there')
      : fail('drift', `missing or invalid: ${missing.join(', ')}`, `Make them again, from: postcommit migrate --sql`),
    lacking.length === 0
      ? ok('privileges', 'this user may do what a relay does')
      : warn('privileges', `this user lacks ${lacking.join(', ')}`, 'Grant them if relays connect as this user.'),
    origin === undefined
      ? ok('cluster', 'its log was written here')
      : fail('cluster', `its log was written in ${origin} (a restored dump?)`, 'Run: postcommit rebase'),
    installation.doubt === null
      ? ok('history', 'nothing says that committed transactions are missing')
      : fail(
          'history',
          installation.doubt,
          'What was published and is missing here: postcommit audit. When that is dealt with: postcommit audit --acknowledge',
        ),
  ]
}

/** The tables and indexes that the migrations create and no later one drops. */
export function objectNames(): readonly string[] {
  const sql = readMigrations()
    .map((migration) => migration.sql)
    .join('\n')
  const created = [...sql.matchAll(/^create (?:unique )?(?:table|index) (?:if not exists )?(?:postcommit\.)?(\w+)/gm)]
  const dropped = new Set([...sql.matchAll(/^drop (?:table|index) (?:postcommit\.)?(\w+)/gm)].map(([, name]) => name))
  // Partitions with a number come and go.
  return created.flatMap(([, name = '']) => (dropped.has(name) || /^outbox_p\d+$/.test(name) ? [] : [name]))
}
