/** undici alone: the same calls to the same service, and no record of them. */
import { Pool } from 'undici'
import { serve } from '../serve.ts'

/** What is called, and how many calls are under way at once. */
export interface UndiciConfig {
  readonly url: string
  readonly concurrency: number
}

export type UndiciCommands = {
  /** Makes so many calls; resolves to the milliseconds they took. */
  call(calls: number, body: string, headers: Readonly<Record<string, string>>): Promise<number>
}

serve<UndiciConfig, UndiciCommands>(async ({ url, concurrency }) => {
  const pool = new Pool(url, { connections: concurrency, pipelining: 1 })
  return {
    commands: {
      async call(calls, body, headers) {
        const startedAt = performance.now()
        let left = calls
        const one = async (): Promise<void> => {
          while (left > 0) {
            left -= 1
            const answer = await pool.request({ method: 'POST', path: '/a/call', body, headers: { ...headers } })
            await answer.body.dump()
            if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`)
          }
        }
        await Promise.all(Array.from({ length: concurrency }, one))
        return performance.now() - startedAt
      },
    },
    close: () => pool.destroy(),
  }
})
