import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'

/** What PostgreSQL has done between two looks. */
export interface ServerWork {
  /** As clients send them: BEGIN and COMMIT are two. */
  readonly statements: number
  /** Transactions that wrote. */
  readonly commits: number
  readonly walBytes: number
  /** Processor time of its processes, milliseconds; undefined where the system does not say (only Linux does). */
  readonly cpuMs: number | undefined
}

/** What a meter needs of its server: `pg_stat_statements` must be loaded when it starts. */
export const METERED = {
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.max': '10000',
  'pg_stat_statements.track': 'top',
}

/** Watches a PostgreSQL that nothing else uses. */
export interface Meter extends AsyncDisposable {
  /** What the server does while `work` runs. */
  during(work: () => Promise<void>): Promise<ServerWork>
}

/** What the meter itself asks does not count. */
const OWN = 'postcommit_bench_meter'

/** Opens a meter on a server with the settings {@link METERED}. */
export async function openMeter(url: string): Promise<Meter> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('create extension if not exists pg_stat_statements')
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  const postmaster = parentOf(rows[0]?.pid ?? 0)
  async function look() {
    const { rows } = await client.query<{ statements: string; commits: string; wal: string }>(
      `select /* ${OWN} */ (select coalesce(sum(calls), 0) from pg_stat_statements where query not like '%${OWN}%')
        as statements, pg_snapshot_xmax(pg_current_snapshot()) as commits, pg_current_wal_insert_lsn() - '0/0' as wal`,
    )
    const [row] = rows
    if (row === undefined) throw new Error('the server does not say what it has done')
    return {
      statements: Number(row.statements),
      commits: Number(row.commits),
      walBytes: Number(row.wal),
      cpuMs: postmaster === undefined ? undefined : cpuMsOfChildren(postmaster),
    }
  }
  return {
    async during(work) {
      await client.query(`select /* ${OWN} */ pg_stat_statements_reset()`)
      const before = await look()
      await work()
      const after = await look()
      return {
        statements: after.statements - before.statements,
        commits: after.commits - before.commits,
        walBytes: after.walBytes - before.walBytes,
        cpuMs: before.cpuMs === undefined || after.cpuMs === undefined ? undefined : after.cpuMs - before.cpuMs,
      }
    },
    [Symbol.asyncDispose]: () => client.end(),
  }
}

/** Undefined where there is no /proc. */
function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return undefined
  }
}

/** Of the processes that run: what ended meanwhile is not counted, so connections have to stay open. */
function cpuMsOfChildren(parent: number): number {
  let sumMs = 0
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || parentOf(Number(name)) !== parent) continue
    try {
      // In nanoseconds, and not sampled as the ticks of /proc/<pid>/stat are.
      sumMs += Number(readFileSync(`/proc/${name}/schedstat`, 'utf8').split(' ')[0]) / 1e6
    } catch {
      // It has just ended.
    }
  }
  return sumMs
}
