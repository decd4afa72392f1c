import type pg from 'pg'
import { type DeadLetter, selectDeadLetters } from '../store/delivery/select-dead-letters.ts'
import { type OperatorActRow, selectOperatorActs } from '../store/operator/select-operator-acts.ts'
import type { DeadLetterTraits } from './act-on-dead-letters.ts'

/** A page of dead letters, oldest first. */
export interface DeadLetterPage {
  readonly deadLetters: readonly DeadLetter[]
  /** What `after` of the next page is; null: there is none. */
  readonly after: string | null
}

/** Reads a page. */
export async function deadLetterPage(
  pool: pg.Pool,
  { topic, ...traits }: DeadLetterTraits,
  after: string | undefined,
  limit: number,
): Promise<DeadLetterPage> {
  // One more than is shown: only so is it known whether there is another page.
  const found = await selectDeadLetters(pool, { ...traits, target: topic, afterId: after, limit: limit + 1 })
  const deadLetters = found.slice(0, limit)
  return { deadLetters, after: found.length > limit ? (deadLetters.at(-1)?.id ?? null) : null }
}

/** A page of what operators did, newest first. */
export interface OperatorActPage {
  readonly acts: readonly OperatorActRow[]
  /** What `before` of the next page is; null: there is none. */
  readonly before: string | null
}

/** Reads a page. */
export async function operatorActPage(
  pool: pg.Pool,
  before: string | undefined,
  limit: number,
): Promise<OperatorActPage> {
  const found = await selectOperatorActs(pool, before, limit + 1)
  const acts = found.slice(0, limit)
  return { acts, before: found.length > limit ? (acts.at(-1)?.id ?? null) : null }
}
