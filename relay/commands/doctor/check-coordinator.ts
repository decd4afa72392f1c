import type pg from 'pg'
import type { RelayConfig } from '../../config/schema.ts'
import { formatDuration } from '../../operators/duration.ts'
import { selectApiKeys } from '../../store/api-key/select-api-keys.ts'
import { countTransactions } from '../../store/transaction/count-transactions.ts'
import { type Check, checksAbout } from './check.ts'

const SOON_MS = 7 * 24 * 3_600_000

/** The database of global transactions: whether there are keys for the API, and what waits for a person. */
export async function checkCoordinator(pool: pg.Pool, { api }: RelayConfig): Promise<readonly Check[]> {
  const { ok, warn } = checksAbout('coordinator')
  const { inDoubt, oldestAgeSeconds } = await countTransactions(pool)
  return [
    inDoubt === 0
      ? ok('in doubt', 'no transaction waits for the decision of an operator')
      : warn(
          'in doubt',
          `${inDoubt} prepared messages are past their check time and still undecided; the oldest transaction has been open for ${formatDuration(oldestAgeSeconds * 1000)}`,
          'See: postcommit in-doubt',
        ),
    ...(api.enabled && api.auth === 'keys' ? await checkKeys(pool) : []),
  ]
}

async function checkKeys(pool: pg.Pool): Promise<readonly Check[]> {
  const { ok, warn } = checksAbout('api')
  const now = Date.now()
  const open = (await selectApiKeys(pool, undefined)).filter(
    ({ revokedAt, expiresAt }) => revokedAt === null && (expiresAt === null || expiresAt.getTime() > now),
  )
  if (open.length === 0) {
    return [warn('keys', 'no key opens it, so no client can ask anything', 'Make one: postcommit api-key create')]
  }
  const ending = open.filter(({ expiresAt }) => expiresAt !== null && expiresAt.getTime() < now + SOON_MS)
  return [
    ok('keys', `${open.length} of ${new Set(open.map(({ tenant }) => tenant)).size} tenants`),
    ...ending.map(({ id, label, expiresAt }) =>
      warn(
        'keys',
        `${id}${label === '' ? '' : ` (${label})`} ends in ${formatDuration((expiresAt?.getTime() ?? now) - now)}`,
        'Make another and give it to the client that uses this one.',
      ),
    ),
  ]
}
