import type { BranchCall } from '../../protocol/branch-call.ts'
import { script } from '../../redis/evaluate.ts'
import { type BarrierResult, judge, rowsOf } from '../truth-table.ts'
import { ADD, type Adjusted, type Adjustment, checkAdjustment, readAdjusted } from './adjustment.ts'
import { evaluate, type RedisStore, rowKey } from './redis-store.ts'

/**
 * Keys: the amount, then the rows of the op in their order (what it undoes first). Every row is written that is not
 * there, as in a database; their time begins anew at each call, so that they outlive the last one.
 */
const ADJUST = script(`
local key, by, least, reason, life = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local own = KEYS[#KEYS]
local undone = #KEYS > 2 and KEYS[2]
local before = redis.call('get', own)
local empty = undone and redis.call('exists', undone) == 0
if before or empty then
  for row = 2, #KEYS do
    if not redis.call('set', KEYS[row], reason, 'px', life, 'nx') then redis.call('pexpire', KEYS[row], life) end
  end
  return { 'skipped', before or '', empty and 1 or 0 }
end
${ADD}
redis.call('set', own, reason, 'px', life)
if undone then redis.call('pexpire', undone, life) end
return { 'added', amount }
`)

/** Adds to an amount unless the barrier says that there is nothing to do. */
export async function adjustBranch(
  store: RedisStore,
  { gid, branch, op }: BranchCall,
  id: string,
  adjustment: Adjustment,
): Promise<BarrierResult<Adjusted>> {
  const { key, by, least } = checkAdjustment(store, adjustment)
  const ops = rowsOf(op)
  const rows = ops.map((each) => rowKey(store, gid, branch, each, id))
  const reply = await evaluate(store, ADJUST, [key, ...rows], [by, least, op, store.horizonMs])
  const [word, reason, empty] = reply
  if (word !== 'skipped') return { skipped: false, value: readAdjusted(reply) }
  const added = new Set([...(empty === 1 ? ops.slice(0, 1) : []), ...(reason === '' ? [op] : [])])
  return { skipped: judge(op, added, String(reason)) ?? 'duplicate' }
}
