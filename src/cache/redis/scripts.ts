import { script } from '../../redis/evaluate.ts'
import { APPLIED_MS } from '../cache-store.ts'

// A key is a hash: v the value and ct when its load was claimed; lu, lo, lc until when, by whom and since when it is
// being loaded; sd, which only an invalidated value has, until when it may be shown; li the invalidation that was
// applied last. Every script has one key, so that it runs in any slot.
const NOW = `
local t = redis.call('time')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`

/**
 * ARGV: lease in ms, token, since, refused value, whether there is one. Replies state, value.
 *
 * A claim always leaves an expiry, or the lock of a process that died on a key that nobody asks for again would stay
 * for ever. While a stale value expires before the lease does, sd keeps it from being shown, not the expiry.
 */
export const CLAIM = script(`
local lease, token, since = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local h = redis.call('hmget', KEYS[1], 'v', 'ct', 'lu', 'sd')
local v, sd = h[1], tonumber(h[4])
if v and (tonumber(h[2] or 0) < since or (ARGV[5] == '1' and v == ARGV[4])) then
  redis.call('hdel', KEYS[1], 'v', 'ct', 'sd')
  v = false
end
if v and not sd then return { 'hit', v } end
${NOW}
if v and now >= sd then v = false end
local lu = tonumber(h[3])
if lu and lu > now then return { 'wait', v } end
redis.call('hset', KEYS[1], 'lu', now + lease, 'lo', token, 'lc', now)
if redis.call('pttl', KEYS[1]) < lease * 2 then redis.call('pexpire', KEYS[1], lease * 2) end
return { 'load', v }
`)

/** ARGV: token, value, time to live in ms. Replies 1 if it was stored, 0 if it was dropped. */
export const FILL = script(`
local h = redis.call('hmget', KEYS[1], 'lo', 'lc')
if h[1] ~= ARGV[1] then return 0 end
redis.call('hdel', KEYS[1], 'lu', 'lo', 'lc', 'sd')
redis.call('hset', KEYS[1], 'v', ARGV[2], 'ct', h[2])
redis.call('pexpire', KEYS[1], ARGV[3])
return 1
`)

/** ARGV: token. The value that was stale stays stale, and its deadline and the expiry of the key stay what they are. */
export const RELEASE = script(`
if redis.call('hget', KEYS[1], 'lo') == ARGV[1] then redis.call('hdel', KEYS[1], 'lu', 'lo', 'lc') end
return 0
`)

/**
 * ARGV: how long the value may be shown as stale in ms, name of the invalidation or nothing.
 *
 * The lock goes: whoever loads now may have read before the change, and its fill finds no lock of its own. The
 * deadline of a stale value only comes nearer, and is not later than the value would have expired.
 */
export const INVALIDATE = script(`${NOW}
local stale, id = tonumber(ARGV[1]), ARGV[2]
local h = redis.call('hmget', KEYS[1], 'v', 'sd', 'li')
local v, sd = h[1], tonumber(h[2])
if id ~= '' and h[3] == id then return 0 end
local life = 0
if v and stale > 0 then
  sd = math.min(sd or now + math.max(redis.call('pttl', KEYS[1]), 0), now + stale)
  life = sd - now
end
redis.call('hdel', KEYS[1], 'lu', 'lo', 'lc')
if life > 0 then redis.call('hset', KEYS[1], 'sd', sd) else redis.call('hdel', KEYS[1], 'v', 'ct', 'sd') end
if id ~= '' then
  redis.call('hset', KEYS[1], 'li', id)
  life = math.max(life, ${APPLIED_MS})
end
if life > 0 then redis.call('pexpire', KEYS[1], life) end
return 0
`)

/** ARGV: since. Replies the value that a claim would call a hit, and when its load was claimed. */
export const PEEK = script(`
local h = redis.call('hmget', KEYS[1], 'v', 'ct', 'sd')
if h[1] and not h[3] and tonumber(h[2] or 0) >= tonumber(ARGV[1]) then return { h[1], h[2] } end
return {}
`)

/**
 * KEYS: the text that all processes share, until when what is stored is doubted. ARGV: how long from now on to doubt
 * it in ms, nothing: not at all. Replies the server's time, that of the doubt, the text.
 */
export const READ_BOARD = `${NOW}
if ARGV[1] ~= '' then redis.call('set', KEYS[2], now + ARGV[1]) end
return { tostring(now), redis.call('get', KEYS[2]) or '0', redis.call('get', KEYS[1]) }
`

/** Does nothing. A server that does not know it was started, or has taken over, since it was last asked. */
export const PROBE = `return 'known'`

/** ARGV: the text as it was, whether there was one, the new text. */
export const SWAP_BOARD = script(`
local before = redis.call('get', KEYS[1])
if ARGV[2] == '1' and before ~= ARGV[1] or ARGV[2] == '0' and before then return 0 end
redis.call('set', KEYS[1], ARGV[3])
return 1
`)
