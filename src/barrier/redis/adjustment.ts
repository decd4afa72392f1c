import { invalidOption } from '../barrier-options.ts'
import type { RedisStore } from './redis-store.ts'

/** What is added to an amount in Redis. */
export interface Adjustment {
  /** The key of the amount, an integer. It has the store's tag in it: `{shop}:stock:7`. */
  readonly key: string
  /** What is added; negative to take away. */
  readonly by: number
  /** What must be left when something is taken away, default 0. */
  readonly least?: number
}

/** What became of an amount. */
export interface Adjusted {
  /** False: there was not enough, and nothing was changed. */
  readonly enough: boolean
  /** What is there now. */
  readonly amount: number
}

/** @throws `POSTCOMMIT_INVALID_OPTIONS` for a key of another hash slot and for what is no integer. */
export function checkAdjustment({ tag }: RedisStore, { key, by, least = 0 }: Adjustment): Required<Adjustment> {
  // The tag is what is between the first brace and the next one that closes.
  const found = /^[^{]*\{([^}]+)\}/.exec(key)?.[1]
  if (found !== tag) throw invalidOption('adjust', `key ${JSON.stringify(key)} does not have the hash tag {${tag}}`)
  if (key.startsWith(`{${tag}}:postcommit:`)) throw invalidOption('adjust', 'key is one of the barrier itself')
  for (const [name, value] of Object.entries({ by, least })) {
    if (!Number.isSafeInteger(value)) throw invalidOption('adjust', `${name} is ${value}, not an integer`)
  }
  return { key, by, least }
}

/**
 * Adds to the amount, as a piece of a script that has looked at the barrier before: `amount` is nil or what is there
 * now, `enough` whether something was added. The amount changes before any key of the barrier is written: if it is no
 * integer the script ends here and has changed nothing.
 *
 * A repetition must be found before the amount is looked at: a deduction that took the last item would otherwise be
 * answered "not enough" when it is repeated, and be given up although it was made.
 */
export const ADD = `
local amount = redis.call('get', key)
local enough = tonumber(by) >= 0 or (amount and tonumber(amount) and tonumber(amount) + tonumber(by) >= tonumber(least))
if amount and not tonumber(amount) then return redis.error_reply('ERR ' .. key .. ' is not an integer') end
if not enough then return { 'short', amount or '0' } end
amount = redis.call('incrby', key, by)
`

/** What the script has said of the amount. */
export function readAdjusted([word, amount]: readonly unknown[]): Adjusted {
  return { enough: word !== 'short', amount: Number(amount) }
}
