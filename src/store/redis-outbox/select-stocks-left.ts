import type { Statement } from '../database.ts'

/** What is left of each stock of an outbox by what the database has sold. Primary key. */
export function selectStocksLeft(name: string): Statement {
  return {
    text: 'select key, (total - sold)::text as remaining from postcommit.redis_stock where name = $1 order by key',
    values: [name],
  }
}
