import type { Gid } from '../../protocol/gid.ts'
import { script } from '../../redis/evaluate.ts'
import { ADD, type Adjusted, type Adjustment, checkAdjustment, readAdjusted } from './adjustment.ts'
import { evaluate, type RedisStore, rowKey } from './redis-store.ts'

/** The mark first, then the amount. */
const MARK = script(`
local key, by, least, life = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local before = redis.call('get', KEYS[2])
if before then
  redis.call('pexpire', KEYS[2], life)
  return { 'marked', before }
end
${ADD}
redis.call('set', KEYS[2], 'commit', 'px', life)
return { 'added', amount }
`)

/** Who made the mark; the one who asks, if it was not there. */
const READ = script(`
if redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2], 'nx') then return { ARGV[1] } end
redis.call('pexpire', KEYS[1], ARGV[2])
return { redis.call('get', KEYS[1]) }
`)

const markKey = (store: RedisStore, gid: Gid) => rowKey(store, gid, '', 'commit', '')

/** Adds to an amount and marks the message; `reason` is who marked it before, and then nothing was added. */
export async function adjustPrepared(
  store: RedisStore,
  gid: Gid,
  adjustment: Adjustment,
): Promise<
  { readonly reason: string; readonly adjusted?: never } | { readonly reason?: never; readonly adjusted: Adjusted }
> {
  const { key, by, least } = checkAdjustment(store, adjustment)
  const reply = await evaluate(store, MARK, [key, markKey(store, gid)], [by, least, store.horizonMs])
  return reply[0] === 'marked' ? { reason: String(reply[1]) } : { adjusted: readAdjusted(reply) }
}

/** Who marked the message; `closing` from now on, if nobody had. */
export async function readPrepared(store: RedisStore, gid: Gid, closing: string): Promise<string> {
  const [reason] = await evaluate(store, READ, [markKey(store, gid)], [closing, store.horizonMs])
  return String(reason)
}
