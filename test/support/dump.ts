import pg from 'pg'
import { applyMigrations } from '../../relay/store/migrate.ts'

/**
 * Restores the schema postcommit of one database in another, empty one, as pg_dump and pg_restore do: rows with all that
 * is in their columns, written by transactions of the other cluster, and the sequences. The programs themselves are not
 * everywhere where the tests run.
 */
export async function restoreDump(from: string, to: string): Promise<void> {
  const [source, target] = [new pg.Client(from), new pg.Client(to)]
  await Promise.all([source.connect(), target.connect()])
  try {
    await applyMigrations(target, 'restored')
    const { rows: tables } = await source.query<{ name: string }>(
      `select relname as name from pg_class where relnamespace = 'postcommit'::regnamespace and relkind in ('r', 'p')
        and not relispartition order by 1`,
    )
    // Foreign keys are not looked at, whatever the order of the tables.
    await target.query('set session_replication_role = replica')
    await target.query(`truncate ${tables.map(({ name }) => `postcommit.${name}`).join(', ')}`)
    for (const { name } of tables) {
      const { rows } = await source.query(`select coalesce(json_agg(t), '[]')::text as rows from postcommit.${name} t`)
      await target.query(
        `insert into postcommit.${name} overriding system value
          select * from json_populate_recordset(null::postcommit.${name}, $1)`,
        [rows[0].rows],
      )
    }
    const { rows } = await source.query('select last_value, is_called from postcommit.outbox_id')
    await target.query(`select setval('postcommit.outbox_id', $1, $2)`, [rows[0].last_value, rows[0].is_called])
  } finally {
    await Promise.all([source.end(), target.end()])
  }
}

/** Takes a cluster so many transactions further. */
export async function passTransactions(url: string, count: number): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`do $$ begin for n in 1..${count} loop perform pg_current_xact_id(); commit; end loop; end $$`)
  await client.end()
}
