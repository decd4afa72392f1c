/** An outbox in Redis: what is sold there becomes an order exactly once. */

export type { MessageDraft } from '../commit/message.ts'
export type { Duration } from '../duration.ts'
export type { Gid } from '../protocol/gid.ts'
export type { EntryOp } from '../protocol/redis-entry.ts'
export type { IoredisLike, NodeRedisLike } from '../redis/evaluate.ts'
export type { DatabaseLike } from '../store/open-database.ts'
export type { EntryOptions } from './encode-entry.ts'
export { type EntryReading, type EntryStream, entryStream, type StreamEntry } from './entry-stream.ts'
export type { StockOptions } from './open-stock.ts'
export {
  type Deducted,
  type DeductOptions,
  type GivenBack,
  type OutboxScript,
  type RedisOutbox,
  type RedisOutboxOptions,
  redisOutbox,
  type ScriptCall,
  type ScriptResult,
} from './redis-outbox.ts'
