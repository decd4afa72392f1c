import type { Statement } from '../database.ts'

/** Under which epoch a sale is, and whether it stands still. Primary key. */
export function selectReopenable(name: string): Statement {
  return {
    text: 'select epoch, stopped_at is not null as stopped from postcommit.redis_outbox where name = $1',
    values: [name],
  }
}
