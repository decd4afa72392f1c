/** Branches of global transactions: their effect happens once, and nothing is undone that was not done. */
export { type BranchCall, type BranchRequest, readBranchCall } from '../protocol/branch-call.ts'
export { Verdict } from '../protocol/verdict.ts'
export type { IoredisLike, NodeRedisLike } from '../redis/evaluate.ts'
export { type Barrier, barrierFrom, createBarrier } from './barrier.ts'
export type { BarrierDatabase, BarrierTransactionOf } from './barrier-database.ts'
export type { BarrierCallOptions, BarrierOptions } from './barrier-options.ts'
export type { MysqlPoolLike } from './mysql/connection.ts'
export { createBarrierTable } from './mysql/create-table.ts'
export {
  type MarkOptions,
  markPrepared,
  markPreparedAdjusting,
  preparedMessages,
  type QueryOptions,
  queryPrepared,
} from './prepared-message.ts'
export { type DecidingRelay, type PurgeOptions, purgeBarrier } from './purge-barrier.ts'
export type { Adjusted, Adjustment } from './redis/adjustment.ts'
export { type RedisStore, type RedisStoreOptions, redisStore } from './redis/redis-store.ts'
export type { BarrierResult, Skipped } from './truth-table.ts'
