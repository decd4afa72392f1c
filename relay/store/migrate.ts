import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { PostcommitError } from 'postcommit/protocol'
import type { Queryable } from './queryable.ts'

/** One file of `migrations/`. */
export interface Migration {
  readonly version: number
  /** `0001-outbox` */
  readonly name: string
  readonly sql: string
  /** SHA-256 of the file: an applied migration must never change. */
  readonly checksum: string
  /** An older relay cannot serve the schema any more once this is applied (the file says `-- breaking`). */
  readonly breaking: boolean
}

interface Applied {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly breaking: boolean
}

/** Where a database stands. */
export interface MigrationStatus {
  readonly applied: readonly { readonly version: number; readonly name: string }[]
  readonly pending: readonly Migration[]
  /** Versions in the database that this package does not know. */
  readonly unknown: readonly { readonly version: number; readonly name: string; readonly breaking: boolean }[]
}

/** Reads the migrations that the SDK package ships, in order. */
export function readMigrations(): readonly Migration[] {
  const folder = fileURLToPath(new URL('./migrations/', import.meta.resolve('postcommit/package.json')))
  return readdirSync(folder)
    .filter((file) => /^\d{4}-[a-z0-9-]+\.sql$/.test(file))
    .sort()
    .map((file) => {
      const sql = readFileSync(join(folder, file), 'utf8')
      return {
        version: Number(file.slice(0, 4)),
        name: file.slice(0, -'.sql'.length),
        sql,
        checksum: createHash('sha256').update(sql).digest('hex'),
        breaking: /^-- breaking\b/m.test(sql),
      }
    })
}

/**
 * Compares the database with the migrations of this package.
 * @throws `POSTCOMMIT_MIGRATION_CHANGED` if an applied migration is not the one in the package.
 */
export async function migrationStatus(
  client: Queryable,
  database: string,
  migrations = readMigrations(),
): Promise<MigrationStatus> {
  const applied = await readApplied(client)
  for (const { version, name, checksum } of applied) {
    const known = migrations.find((migration) => migration.version === version)
    if (known !== undefined && known.checksum !== checksum) {
      throw new PostcommitError('POSTCOMMIT_MIGRATION_CHANGED', { name, database })
    }
  }
  const versions = new Set(applied.map(({ version }) => version))
  return {
    applied,
    pending: migrations.filter(({ version }) => !versions.has(version)),
    unknown: applied.filter(({ version }) => !migrations.some((migration) => migration.version === version)),
  }
}

/**
 * Refuses a schema that this relay cannot serve: one that lacks a migration, or one that has a breaking migration
 * this relay does not know. A newer schema without a breaking change is served, so relays can be rolled after it.
 *
 * @throws `POSTCOMMIT_MIGRATION_PENDING`, `POSTCOMMIT_SCHEMA_TOO_NEW`, `POSTCOMMIT_MIGRATION_CHANGED`.
 */
export async function requireServableSchema(client: Queryable, database: string): Promise<void> {
  const migrations = readMigrations()
  const { applied, pending, unknown } = await migrationStatus(client, database, migrations)
  const needed = migrations.at(-1)?.name ?? 'nothing'
  const newest = unknown.find(({ breaking }) => breaking)
  if (newest !== undefined) {
    throw new PostcommitError('POSTCOMMIT_SCHEMA_TOO_NEW', { database, found: newest.name, needed })
  }
  if (pending.length > 0) {
    const found = applied.at(-1)?.name ?? 'no migration at all'
    throw new PostcommitError('POSTCOMMIT_MIGRATION_PENDING', { database, found, needed })
  }
}

/**
 * Applies what is missing, each migration in a transaction of its own together with its row in
 * `postcommit.migration`. A crash half-way leaves whole migrations only, and running it again goes on. Two runs at
 * once wait for each other (session advisory lock), so the second finds nothing to do.
 *
 * A table that is in use is not waited for: everything that services and relays do with it would wait behind this. A
 * migration asks for half a second, leaves the tables alone for longer, and asks again.
 *
 * @param client - one connection, not a pool: the lock belongs to the session
 * @returns what was applied
 * @throws `POSTCOMMIT_MIGRATION_LOCKED` when nothing came of that within `patienceMs`.
 */
export async function applyMigrations(
  client: Queryable,
  database: string,
  patienceMs = MIGRATION_PATIENCE_MS,
): Promise<readonly Migration[]> {
  const deadline = performance.now() + patienceMs
  const lock = { text: 'select pg_try_advisory_lock($1) as locked', values: [MIGRATION_LOCK] }
  const isFirst = async () => (await client.query<{ locked: boolean }>(lock)).rows[0]?.locked === true
  await persist(isFirst, deadline, () => locked('migrations', database))
  try {
    const { pending } = await migrationStatus(client, database)
    for (const migration of pending) {
      await persist(
        () => applyOne(client, migration),
        deadline,
        () => locked(`migration ${migration.name}`, database),
      )
    }
    return pending
  } finally {
    await client.query({ text: 'select pg_advisory_unlock($1)', values: [MIGRATION_LOCK] })
  }
}

const MIGRATION_PATIENCE_MS = 60_000
const MIGRATION_LOCK_TIMEOUT_MS = 500
const MIGRATION_PAUSE_MS = { first: 100, cap: 3000 }

/** Tries until it succeeds, with growing pauses. */
async function persist(
  attempt: () => Promise<boolean>,
  deadline: number,
  failure: () => PostcommitError<'POSTCOMMIT_MIGRATION_LOCKED'>,
): Promise<void> {
  for (let pauseMs = MIGRATION_PAUSE_MS.first; !(await attempt()); ) {
    if (performance.now() + pauseMs > deadline) throw failure()
    await sleep(pauseMs)
    pauseMs = Math.min(MIGRATION_PAUSE_MS.cap, 2 * pauseMs)
  }
}

function locked(what: string, database: string): PostcommitError<'POSTCOMMIT_MIGRATION_LOCKED'> {
  return new PostcommitError('POSTCOMMIT_MIGRATION_LOCKED', { what, database })
}

const MIGRATION_LOCK = '8107365743'
const LOCK_NOT_AVAILABLE = '55P03'

// Part of the first transaction rather than a migration, because it records the migrations.
const CREATE_HISTORY = `create schema if not exists postcommit;
create table if not exists postcommit.migration (
  version    integer     primary key,
  name       text        not null,
  checksum   text        not null,
  breaking   boolean     not null,
  applied_at timestamptz not null default clock_timestamp()
);
`

/** The SQL that `applyMigrations` runs for one migration, for people who apply it by other means. */
export function migrationSql({ version, name, sql, checksum, breaking }: Migration): string {
  return `begin;
set local lock_timeout = '${MIGRATION_LOCK_TIMEOUT_MS}ms';
${CREATE_HISTORY}${sql.trimEnd()}
insert into postcommit.migration (version, name, checksum, breaking)
values (${version}, '${name}', '${checksum}', ${breaking});
commit;
`
}

/** False: a table that it needs is in use. */
async function applyOne(client: Queryable, migration: Migration): Promise<boolean> {
  try {
    await client.query({ text: migrationSql(migration) })
    return true
  } catch (error) {
    await client.query({ text: 'rollback' })
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === LOCK_NOT_AVAILABLE)
      return false
    throw error
  }
}

async function readApplied(client: Queryable): Promise<readonly Applied[]> {
  const { rows } = await client.query<{ present: boolean }>({
    text: `select to_regclass('postcommit.migration') is not null as present`,
  })
  if (rows[0]?.present !== true) return []
  const applied = await client.query<Applied & { version: number }>({
    text: 'select version, name, checksum, breaking from postcommit.migration order by version',
  })
  return applied.rows
}
