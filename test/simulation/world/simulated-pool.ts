import type pg from 'pg'
import type { QueryConfig } from 'pg'
import type { VirtualTime } from './virtual-time.ts'

/** What a statement answers. */
export interface Answer {
  readonly rows?: readonly object[]
  readonly rowCount?: number
}

/** What the statements of the relay do here, by their names: each atomic, as one statement is. */
export interface SimulatedDatabase {
  readonly statements: { readonly [name: string]: (values: readonly unknown[]) => Answer }
  /** Everything as it is now; what it returns puts it back. */
  save(): () => void
}

/** How the connections of one relay fare. Nothing comes of what is asked for once it is cut off. */
export interface Line {
  isCut: boolean
  /** Until then nothing gets through, either way. */
  stalledUntilMs: number
  /** So many statements fail: done or not, their relay cannot know. */
  failures: number
  /** What the database does about its sessions when it is cut off. */
  readonly onCut: (() => void)[]
}

/** One transaction of several statements at a time: the next waits until the one before has ended. */
export class Turnstile {
  #owner: object | undefined
  #waiting: (() => void)[] = []

  /** Waits until no other transaction is under way. */
  async enter(owner: object): Promise<void> {
    while (!this.admits(owner)) {
      await new Promise<void>((resolve) => void this.#waiting.push(resolve))
    }
  }

  /** Begins one, as soon as there is no other. */
  async begin(owner: object): Promise<void> {
    do await this.enter(owner)
    while (!this.isFree)
    this.#owner = owner
  }

  /** Whether a statement may be carried out now. */
  admits(owner: object): boolean {
    return this.#owner === undefined || this.#owner === owner
  }

  get isFree(): boolean {
    return this.#owner === undefined
  }

  leave(owner: object): void {
    if (this.#owner !== owner) return
    this.#owner = undefined
    for (const resume of this.#waiting.splice(0)) resume()
  }
}

const LATENCY_MS = 3

/**
 * The pool of one relay: the statements that the shipped code sends are carried out by the simulated database, by name.
 * That is all that is put in the place of PostgreSQL; what is sent, and when, is up to the loops.
 */
export function simulatedPool(
  database: SimulatedDatabase,
  turnstile: Turnstile,
  line: Line,
  time: VirtualTime,
): pg.Pool {
  const send = (owner: object, config: QueryConfig) => deliver(database, turnstile, line, time, owner, config)
  const pool = {
    query: (config: QueryConfig) => send({}, config),
    connect: async () => session(database, turnstile, line, send),
  }
  // The loops use these two of a pool.
  return pool as unknown as pg.Pool
}

function session(
  database: SimulatedDatabase,
  turnstile: Turnstile,
  line: Line,
  send: (owner: object, config: QueryConfig) => Promise<unknown>,
): object {
  const owner = {}
  let undo: (() => void) | undefined
  const end = (isCommitted: boolean) => {
    if (!isCommitted) undo?.()
    undo = undefined
    turnstile.leave(owner)
  }
  const abort = () => {
    if (undo !== undefined) end(false)
  }
  line.onCut.push(abort)
  return {
    on: () => undefined,
    off: () => undefined,
    release: abort,
    async query(config: QueryConfig | string) {
      if (typeof config !== 'string') {
        const answer = send(owner, config)
        // A session whose connection is lost has rolled back.
        answer.catch(abort)
        return await answer
      }
      if (line.isCut) return await never()
      if (config === 'begin') {
        await turnstile.begin(owner)
        if (line.isCut) {
          turnstile.leave(owner)
          return await never()
        }
        undo = database.save()
      } else end(config === 'commit' && undo !== undefined)
      return {}
    },
  }
}

async function deliver(
  database: SimulatedDatabase,
  turnstile: Turnstile,
  line: Line,
  time: VirtualTime,
  owner: object,
  config: QueryConfig,
): Promise<object> {
  const name = config.name ?? ''
  const statement = database.statements[name]
  if (statement === undefined) throw unknown(name, config.text)
  await pass(line, time)
  const fails = line.failures > 0
  if (fails) line.failures -= 1
  if (fails && time.random() < 0.5) throw new Error('the connection was lost')
  do await turnstile.enter(owner)
  while (!turnstile.admits(owner))
  if (line.isCut) return await never()
  const { rows = [], rowCount = rows.length } = statement(config.values ?? [])
  if (fails) throw new Error('the connection was lost')
  await pass(line, time)
  return { rows, rowCount }
}

/** The loops take an error for one of the database and go on: this one ends the run instead. */
function unknown(name: string, text: string): Error {
  const error = new Error(`the simulated database knows no statement ${name}; add it to the tables: ${text}`)
  queueMicrotask(() => {
    throw error
  })
  return error
}

/** The way between a relay and its database. */
async function pass(line: Line, time: VirtualTime): Promise<void> {
  await time.sleep(time.random() * LATENCY_MS)
  while (!line.isCut && time.nowMs < line.stalledUntilMs) await time.sleep(line.stalledUntilMs - time.nowMs)
  if (line.isCut) await never()
}

function never(): Promise<never> {
  return new Promise(() => undefined)
}

/** Reads a column as `column` writes it: an array of PostgreSQL, or null for one without any value. */
export function texts(value: unknown): readonly (string | null)[] {
  if (value === null || value === undefined) return []
  if (Array.isArray(value)) return value.map((one) => (one === null || one === undefined ? null : String(one)))
  const items: (string | null)[] = []
  for (const [, quoted, bare] of String(value)
    .slice(1, -1)
    .matchAll(/"((?:[^"\\]|\\.)*)"|([^,]+)/g)) {
    items.push(quoted === undefined ? (bare === 'NULL' ? null : (bare ?? null)) : quoted.replace(/\\(.)/g, '$1'))
  }
  return items
}
