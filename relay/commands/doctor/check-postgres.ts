import type pg from 'pg'
import { formatDuration } from '../../operators/duration.ts'
import { selectOldTransactions } from '../../store/server/select-old-transactions.ts'
import { selectServerFacts } from '../../store/server/select-server-facts.ts'
import { type ServerSettings, selectServerSettings } from '../../store/server/select-server-settings.ts'
import { type Check, checksAbout } from './check.ts'

const VERSION_MIN = 150_000
const SKEW_MAX_MS = 1000
const TRANSACTION_AGE_MS = 60_000

/** The server behind a source: whether it keeps what it commits, and whether it is reached directly. */
export async function checkPostgres(source: string, pool: pg.Pool): Promise<readonly Check[]> {
  const { ok, warn, fail } = checksAbout(source)
  const facts = await selectServerFacts(pool)
  const askedAt = Date.now()
  const settings = await selectServerSettings(pool)
  // The clock was read somewhere between question and answer.
  const skewMs = Math.abs(settings.nowMs - (askedAt + Date.now()) / 2)
  const old = await selectOldTransactions(pool, TRANSACTION_AGE_MS)
  const unsafe = [!facts.fsync && 'fsync', !facts.fullPageWrites && 'full_page_writes'].filter(Boolean)
  return [
    facts.versionNumber >= VERSION_MIN
      ? ok('version', `PostgreSQL ${facts.version}`)
      : fail('version', `PostgreSQL ${facts.version} is too old`, 'Upgrade to PostgreSQL 15 or newer.'),
    facts.standby
      ? fail('primary', 'this is a standby, which sees commits late and in another order', 'Connect to the primary.')
      : ok('primary', 'it is the primary'),
    unsafe.length > 0
      ? fail(
          'durability',
          `${unsafe.join(' and ')} is off: a crash loses what was committed`,
          'Turn it on in postgresql.conf.',
        )
      : ok('durability', 'it keeps what it commits'),
    ...checkSettings(settings, { ok, warn, fail }),
    skewMs > SKEW_MAX_MS
      ? warn(
          'clock',
          `its clock and this host's differ by ${formatDuration(skewMs)}`,
          'Nothing breaks, but signatures of calls carry the time of this host: synchronise both by NTP.',
        )
      : ok('clock', `within ${formatDuration(Math.max(1, skewMs))} of this host's`),
    ...(await checkDirect(pool, { ok, warn, fail })),
    ...(old.length === 0
      ? [ok('open transactions', 'none is open for long')]
      : old.map(({ name, application, user, ageMs, holdsReceipts }) =>
          warn(
            'open transactions',
            `${name} (${[user, application].filter(Boolean).join(', ')}) has been open for ${formatDuration(ageMs)}`,
            holdsReceipts
              ? 'It has written a receipt or a barrier row: the same message waits for it. End it if it is stuck.'
              : 'It delays no message, but vacuum cannot clean up behind it. End it if it is forgotten.',
          ),
        )),
  ]
}

function checkSettings(
  { synchronousCommit, autovacuum, encrypted }: ServerSettings,
  { ok, warn }: ReturnType<typeof checksAbout>,
): readonly Check[] {
  return [
    ['on', 'remote_apply', 'remote_write'].includes(synchronousCommit)
      ? ok('synchronous_commit', synchronousCommit)
      : warn(
          'synchronous_commit',
          `it is ${synchronousCommit} by default`,
          'commit() turns it on for itself; with add() turn it on in your own transaction.',
        ),
    autovacuum
      ? ok('autovacuum', 'on')
      : warn(
          'autovacuum',
          'it is off',
          'Turn it on, or vacuum postcommit.delivery often: every delivery leaves dead rows.',
        ),
    ok('encryption', encrypted ? 'the connection is encrypted' : 'the connection is not encrypted'),
  ]
}

/** Relays need sessions of their own; behind a pooler by transaction two of them share one. */
async function checkDirect(pool: pg.Pool, { ok, fail }: ReturnType<typeof checksAbout>): Promise<readonly Check[]> {
  const [first, second] = [await pool.connect(), await pool.connect()]
  try {
    const before = await backendOf(first)
    // Takes the backend that a pooler has just been given back, if there is one in between.
    await second.query('begin')
    const other = await backendOf(second)
    const after = await backendOf(first)
    await second.query('rollback')
    return [
      before === other || before !== after
        ? fail(
            'direct connection',
            'a transaction pooler stands between',
            'Give relays an address without it; services may keep it.',
          )
        : ok('direct connection', 'sessions are not shared'),
    ]
  } finally {
    first.release()
    second.release()
  }
}

async function backendOf(client: pg.PoolClient): Promise<number> {
  return (await selectServerSettings(client)).pid
}
