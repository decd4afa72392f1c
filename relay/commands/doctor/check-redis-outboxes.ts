import type pg from 'pg'
import { selectStocks } from '../../store/redis-outbox/select-stocks.ts'
import { type Check, checksAbout } from './check.ts'

/** Whether what is sold in Redis is sold on, by what the database knows. */
export async function checkRedisOutboxes(source: string, pool: pg.Pool): Promise<readonly Check[]> {
  const { ok, warn, fail } = checksAbout(source)
  return (await selectStocks(pool)).flatMap(({ outbox, key, total, sold, refused, stoppedReason }) => [
    stoppedReason === null
      ? ok('redis outbox', `${outbox}: ${sold} of ${total} ${key} sold`)
      : fail(
          'redis outbox',
          `${outbox} stands still at ${sold} of ${total} ${key}: ${stoppedReason}`,
          'Find out what Redis has lost, then call reopen() of redisOutbox.',
        ),
    ...(refused === 0
      ? []
      : [
          warn(
            'redis outbox',
            `${outbox}: ${refused} ${key} were taken in Redis and refused`,
            'See: postcommit dead-letter list --destination redis-outbox',
          ),
        ]),
  ])
}
