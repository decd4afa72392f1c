import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { discardDeadLetters } from '../store/delivery/discard-dead-letters.ts'
import { requeueDeadLetters } from '../store/delivery/requeue-dead-letters.ts'
import { selectDeadLetters } from '../store/delivery/select-dead-letters.ts'
import { type NamedDeadLetter, selectNamedDeadLetters } from '../store/delivery/select-named-dead-letters.ts'
import { notifyRelays } from '../store/member/notify-relays.ts'
import type { Act } from '../store/operator/act.ts'
import { type MessageName, nameOfMessage } from './message-name.ts'

/** What an operator can do with dead letters. */
export type DeadLetterAct = 'requeue' | 'discard'

/** What dead letters have in common; all that is given must fit. */
export interface DeadLetterTraits {
  readonly gid?: string | undefined
  readonly destination?: string | undefined
  /** Subject or path; `*` stands for any text. */
  readonly topic?: string | undefined
  readonly key?: string | undefined
}

/** Which dead letters: those that are named, perhaps of one destination only, or all that have these traits. */
export type DeadLetterSelection =
  | { readonly names: readonly MessageName[]; readonly destination?: string | undefined }
  | { readonly traits: DeadLetterTraits }

/** How an act is carried out. */
export interface DeadLetterActOptions extends Act {
  /** Only says what would be done. */
  readonly dryRun: boolean
  /** Only messages above this id: where the act before came to its limit. */
  readonly after?: string | undefined
  /** At most so many; without it all. */
  readonly limit?: number
}

/** What was done, or would be. */
export interface ActedOnDeadLetters {
  readonly done: readonly NamedDeadLetter[]
  /** Where to go on: the limit was reached, and there may be more. Null: these were all. */
  readonly after: string | null
}

/** So many rows in one statement: it holds their locks, and its results, for some tens of milliseconds. */
const BATCH = 1000

/**
 * Requeues or discards dead letters in batches, each of which is a transaction, and notes who did it. What is not dead
 * any more when its batch comes is left as it is. An act that was interrupted has done whole batches, and says so in its
 * note; the same act again does the rest.
 */
export async function actOnDeadLetters(
  pool: pg.Pool,
  act: DeadLetterAct,
  selection: DeadLetterSelection,
  { actor, reason, dryRun, after, limit = Number.POSITIVE_INFINITY }: DeadLetterActOptions,
): Promise<ActedOnDeadLetters> {
  const note = { token: randomUUID(), actor, reason, selection: shownSelection(selection) }
  const write = act === 'requeue' ? requeueDeadLetters : discardDeadLetters
  const done: NamedDeadLetter[] = []
  let seen = 0
  let afterId = after
  let isEnd = false
  while (!isEnd && seen < limit) {
    const size = Math.min(BATCH, limit - seen)
    const page = await pageOf(pool, selection, afterId, size)
    isEnd = page.length < size
    seen += page.length
    afterId = page.at(-1)?.id ?? afterId
    done.push(...(dryRun || page.length === 0 ? page : await changed(pool, page, write, note)))
  }
  if (!dryRun && done.length > 0) await notifyRelays(pool)
  return { done, after: isEnd ? null : (afterId ?? null) }
}

async function changed(
  pool: pg.Pool,
  page: readonly NamedDeadLetter[],
  write: typeof requeueDeadLetters,
  note: Parameters<typeof requeueDeadLetters>[2],
): Promise<readonly NamedDeadLetter[]> {
  const ids = page.map(({ id }) => id)
  const written = new Set(await write(pool, ids, note))
  return page.filter(({ id }) => written.has(id))
}

async function pageOf(
  pool: pg.Pool,
  selection: DeadLetterSelection,
  afterId: string | undefined,
  limit: number,
): Promise<readonly NamedDeadLetter[]> {
  if ('traits' in selection) {
    const { topic, ...traits } = selection.traits
    const found = await selectDeadLetters(pool, { ...traits, target: topic, afterId, limit })
    return found.map(({ id, gid, branch }) => ({ id, gid, branch }))
  }
  const { names, destination } = selection
  const gids = names.flatMap((name) => ('id' in name ? [] : [{ gid: name.gid, branch: name.branch ?? null }]))
  const ids = names.flatMap((name) => ('id' in name ? [name.id] : []))
  return selectNamedDeadLetters(pool, { gids, ids, destination, afterId, limit })
}

/** Names that a note holds; the others are found in the attempts of their messages. */
const NAMES_SHOWN_MAX = 100

function shownSelection(selection: DeadLetterSelection): object {
  if ('traits' in selection) {
    const isAll = Object.values(selection.traits).every((value) => value === undefined)
    return isAll ? { all: true } : { filter: selection.traits }
  }
  const { names, destination } = selection
  const messages = names.slice(0, NAMES_SHOWN_MAX).map((name) => {
    if ('id' in name) return `#${name.id}`
    return name.branch === undefined ? name.gid : nameOfMessage({ id: '', gid: name.gid, branch: name.branch })
  })
  return { messages, of: names.length, ...(destination !== undefined && { filter: { destination } }) }
}
