import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'

/** How many buyers come, and how. */
export interface RushOptions {
  readonly requests: number
  /** How many of them at once, default all. */
  readonly connections?: number
  /** Which of the goods they want, default 1. */
  readonly goodsId?: number
  /** They come spread over this time instead of at once. */
  readonly overMs?: number
}

/** What the buyers were told. */
export interface Rush {
  /** The gids of the purchases that were answered "sold". */
  readonly sold: readonly string[]
  readonly refused: number
  /** Answers that say neither, and requests without one. */
  readonly unclear: number
  readonly seconds: number
}

const TIMEOUT_MS = 90_000

/** Has every buyer, all of them with the same id as in the system that is compared with, ask for one of the goods. */
export async function rush(url: string, options: RushOptions): Promise<Rush> {
  const { requests, connections = requests, goodsId = 1, overMs = 0 } = options
  const pool = new Pool(url, { connections, pipelining: 1, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS })
  const sold: string[] = []
  let refused = 0
  let unclear = 0
  const body = JSON.stringify({ userId: 1, goodsId, num: 1 })
  const ask = async (buyer: number): Promise<void> => {
    if (overMs > 0) await sleep((overMs * buyer) / requests)
    try {
      const answer = await pool.request({ method: 'POST', path: '/order/quickCreate', body })
      const text = await answer.body.text()
      if (answer.statusCode === 200) sold.push((JSON.parse(text) as { gid: string }).gid)
      else if (answer.statusCode === 409) refused += 1
      else unclear += 1
    } catch {
      unclear += 1
    }
  }
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: requests }, (_, buyer) => ask(buyer)))
  const seconds = (performance.now() - startedAt) / 1000
  await pool.destroy()
  return { sold, refused, unclear, seconds }
}
