import { type Script, script } from '../redis/evaluate.ts'

// The hash of the stocks: `.epoch` drawn when it was made, `.stopped` why nothing is sold, and the units of each stock,
// whose names begin with no dot. The barrier of a gid says what was done: `sold 2 stock`, `returned 2 stock`, `script`.
// A script that runs into maxmemory is refused at its first write, so each does all of its writes or none.

/**
 * KEYS: barrier, stocks, stream. ARGV: epoch or nothing, stock, units, life of the barrier in ms, entry. Replies what
 * became of it, and how many are left or what is wrong.
 *
 * The barrier comes first: a click that is repeated after the last unit was sold is a repetition, not a shortage. Then
 * whether this is the Redis that the stock was put into: one that has forgotten it would say "sold out" of everything.
 */
export const DEDUCT = script(`
local before = redis.call('get', KEYS[1])
if before then return { 'duplicate', before } end
local stocks = redis.call('hmget', KEYS[2], '.epoch', '.stopped', ARGV[2])
local epoch, left = stocks[1], stocks[3]
if not epoch or not left then return { 'lost', 'it is not in this Redis: never opened there, or forgotten' } end
if ARGV[1] ~= '' and ARGV[1] ~= epoch then return { 'lost', 'another program has put it into this Redis anew' } end
if stocks[2] then return { 'lost', stocks[2] } end
local rest = tonumber(left) - tonumber(ARGV[3])
if rest < 0 then return { 'sold_out', left } end
redis.call('hincrby', KEYS[2], ARGV[2], '-' .. ARGV[3])
redis.call('set', KEYS[1], 'sold ' .. ARGV[3] .. ' ' .. ARGV[2], 'px', ARGV[4])
redis.call('xadd', KEYS[3], '*', 'entry', ARGV[5], 'epoch', epoch)
return { 'ok', rest }
`)

/** KEYS as above. ARGV: epoch or nothing, gid, life of the barrier in ms. */
export const GIVE_BACK = script(`
local before = redis.call('get', KEYS[1])
local stocks = redis.call('hmget', KEYS[2], '.epoch', '.stopped')
local epoch = stocks[1]
if not epoch then return { 'lost', 'it is not in this Redis: never opened there, or forgotten' } end
if ARGV[1] ~= '' and ARGV[1] ~= epoch then return { 'lost', 'another program has put it into this Redis anew' } end
if not before then return { 'unknown' } end
local state, units, key = string.match(before, '^(%a+) (%d+) (.+)$')
if state == 'returned' then return { 'duplicate', redis.call('hget', KEYS[2], key) } end
if state ~= 'sold' then return { 'unknown' } end
if stocks[2] then return { 'lost', stocks[2] } end
local left = redis.call('hincrby', KEYS[2], key, units)
redis.call('set', KEYS[1], 'returned ' .. units .. ' ' .. key, 'px', ARGV[3])
local entry = '{"op":"give_back","gid":"' .. ARGV[2] .. '","key":"' .. key .. '","qty":' .. units .. '}'
redis.call('xadd', KEYS[3], '*', 'entry', entry, 'epoch', epoch)
return { 'ok', left }
`)

/**
 * Puts a user's Lua between barrier and entry. KEYS as above, then the user's. ARGV: epoch or nothing, life of the
 * barrier in ms, entry, then the user's. His result is the entry's `value` if it is text or a number; false or nil says
 * that nothing was done. What he has written when he raises an error stays written, as in every script of Redis.
 */
export function wrapped(lua: string): Script {
  return script(`
local function effect(KEYS, ARGV)
${lua}
end
local before = redis.call('get', KEYS[1])
if before then return { 'duplicate', before } end
local stocks = redis.call('hmget', KEYS[2], '.epoch', '.stopped')
if ARGV[1] ~= '' and ARGV[1] ~= stocks[1] then
  return { 'lost', stocks[1] and 'another program has put it into this Redis anew' or 'this Redis has forgotten it' }
end
if stocks[2] then return { 'lost', stocks[2] } end
local result = effect({ unpack(KEYS, 4) }, { unpack(ARGV, 4) })
if type(result) == 'table' and result.err then return result end
if not result then return { 'refused' } end
redis.call('set', KEYS[1], 'script', 'px', ARGV[2])
local value = (type(result) == 'string' or type(result) == 'number') and tostring(result) or ''
redis.call('xadd', KEYS[3], '*', 'entry', ARGV[3], 'epoch', stocks[1] or '', 'value', value)
return { 'ok', result }
`)
}

/**
 * KEYS: stocks. ARGV: epoch, stock, units, 1 if it may be put there, 1 if the epoch must be there already. Replies
 * `there`, `installed` or `lost`.
 *
 * A Redis that was emptied while another stock of the outbox was sold from must not come to look like one that has
 * forgotten nothing.
 */
export const OPEN = script(`
local stocks = redis.call('hmget', KEYS[1], '.epoch', ARGV[2])
if stocks[1] and stocks[1] ~= ARGV[1] then return { 'lost', 'there is another epoch in this Redis' } end
if stocks[1] and stocks[2] then return { 'there' } end
if ARGV[4] ~= '1' or (ARGV[5] == '1' and not stocks[1]) then return { 'lost', 'this Redis has forgotten it' } end
redis.call('hset', KEYS[1], '.epoch', ARGV[1], ARGV[2], ARGV[3])
return { 'installed' }
`)

/** KEYS: stocks. ARGV: stock. Replies what is left, and why nothing is sold. */
export const LEFT = script(`
local stocks = redis.call('hmget', KEYS[1], ARGV[1], '.stopped')
return { stocks[1] or '', stocks[2] or '' }
`)

/** KEYS: any. What the server says of itself; INFO, which may be called where CONFIG may not. */
export const FACTS = script(`
local function said(section, name)
  local told = redis.pcall('info', section)
  return type(told) == 'string' and string.match(told, name .. ':([^\\r\\n]+)') or ''
end
return { said('server', 'redis_version'), said('memory', 'maxmemory_policy') }
`)

/**
 * KEYS: stream, stocks. ARGV: how many to read, then the ids of entries that are applied. Replies epoch, why nothing is
 * sold, how long the stream is, and the oldest entries.
 *
 * Always from the beginning: what was applied is gone from there, so what is left is what remains to be done, and there
 * is no position to lose. Deleted one by one and not up to an id: after a failover the clock of the new server may give
 * ids below those of entries that were applied before.
 */
export const READ = script(`
for from = 2, #ARGV, 1000 do
  redis.call('xdel', KEYS[1], unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
local stocks = redis.call('hmget', KEYS[2], '.epoch', '.stopped')
local entries = redis.call('xrange', KEYS[1], '-', '+', 'count', ARGV[1])
return { stocks[1] or '', stocks[2] or '', redis.call('xlen', KEYS[1]), entries }
`)

/** KEYS: stocks. ARGV: epoch, reason. Lets nothing be sold any more. */
export const STOP = script(`
if redis.call('hget', KEYS[1], '.epoch') ~= ARGV[1] then return { 0 } end
redis.call('hset', KEYS[1], '.stopped', ARGV[2])
return { 1 }
`)

/** KEYS: barriers. ARGV: life in ms, then what each says. */
export const REMEMBER = script(`
for index, key in ipairs(KEYS) do redis.call('set', key, ARGV[index + 1], 'px', ARGV[1]) end
return { #KEYS }
`)

/** KEYS: stocks. ARGV: epoch, why nothing is sold yet, then names and units of the stocks. In the place of all before. */
export const REFILL = script(`
redis.call('del', KEYS[1])
redis.call('hset', KEYS[1], '.epoch', ARGV[1], '.stopped', ARGV[2], unpack(ARGV, 3))
return { 1 }
`)

/** KEYS: stocks. ARGV: epoch. Replies 1 if it is sold from under this epoch now. */
export const GO_ON = script(`
if redis.call('hget', KEYS[1], '.epoch') ~= ARGV[1] then return { 0 } end
redis.call('hdel', KEYS[1], '.stopped')
return { 1 }
`)
