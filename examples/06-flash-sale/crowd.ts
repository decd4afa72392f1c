/** The people: each clicks twice at once, and clicks again until there is an answer. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'

/** What people were told. */
export interface Told {
  /** Clicks that were answered. */
  readonly clicks: number
  /** People who have one. */
  readonly served: number
  /** People who were told that there are none left. */
  readonly refused: number
}

/** A number of people. */
export interface CrowdOptions {
  /** The number of the first of them. */
  readonly from: number
  readonly people: number
  readonly clicksEach: number
  /** So many are at it at the same time. */
  readonly atOnce?: number
  /** Told whenever somebody has been answered. */
  readonly onAnswered?: (told: Told) => void
}

const AGAIN_MS = 20
const PATIENCE_MS = 60_000

/** Lets them click. @throws if somebody gets no answer for a minute */
export async function rush(url: string, options: CrowdOptions): Promise<Told> {
  const { from, people, clicksEach, atOnce = 128, onAnswered = () => undefined } = options
  const told = { clicks: 0, served: 0, refused: 0 }
  let next = from
  const pool = new Pool(url, { connections: atOnce * clicksEach, pipelining: 1 })
  const oneAfterTheOther = async () => {
    while (next < from + people) {
      const user = next
      next += 1
      const answers = await Promise.all(Array.from({ length: clicksEach }, () => ask(pool, `/buy?user=${user}`)))
      told.clicks += clicksEach
      if (answers.every((answer) => answer === 'sold_out')) told.refused += 1
      else told.served += 1
      onAnswered(told)
    }
  }
  try {
    await Promise.all(Array.from({ length: atOnce }, oneAfterTheOther))
  } finally {
    await pool.destroy()
  }
  return told
}

/** Gives units back, each asked for twice; resolves to how many came back at the first and at the second time. */
export async function giveBack(url: string, gids: readonly string[]): Promise<readonly [first: number, again: number]> {
  const pool = new Pool(url, { connections: 8, pipelining: 1 })
  const times = async () => {
    const answers = await Promise.all(gids.map((gid) => ask(pool, `/return?gid=${gid}`)))
    return answers.filter((answer) => answer === 'ok').length
  }
  try {
    return [await times(), await times()]
  } finally {
    await pool.destroy()
  }
}

/** Asks until there is an answer: whoever was to give it may have been killed. */
async function ask(pool: Pool, path: string): Promise<string> {
  for (const until = performance.now() + PATIENCE_MS; performance.now() < until; await sleep(AGAIN_MS)) {
    try {
      const { statusCode, body } = await pool.request({ method: 'POST', path })
      const text = await body.text()
      if (statusCode === 200) return text
    } catch {
      // Nobody answered, or not to the end.
    }
  }
  throw new Error(`${path} was not answered within ${PATIENCE_MS} ms`)
}
