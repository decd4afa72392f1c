/**
 * A service whose branches are called, by our relay or the replay of DTM: `/plain` answers 200 and nothing else, every other path
 * takes effect in a transaction behind the barrier, which reads the names of a branch in our headers and in DTM's query.
 * `/back-query` tells what became of prepared messages.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import { backQueryHandler } from 'postcommit'
import { type Barrier, barrierFrom, createBarrier } from 'postcommit/barrier'
import { ACCOUNTS } from '../business.ts'
import { serve } from '../serve.ts'

/** With a database it has barriers and answers back-queries. */
export interface BranchServiceConfig {
  readonly database?: string
  /** A port that was given out before, to come back under. */
  readonly port?: number
}

export type BranchServiceCommands = {
  url(): string
  /** How many calls were answered 200 since the last `reset`. */
  answered(): number
  reset(): void
  /** Makes so many transactions of branches over all connections, without a call; resolves to how many a second. */
  transact(count: number): Promise<number>
}

const CONNECTIONS = 32

serve<BranchServiceConfig, BranchServiceCommands>(async ({ database, port = 0 }) => {
  const pool = database === undefined ? undefined : new pg.Pool({ connectionString: database, max: CONNECTIONS })
  let answered = 0
  let account = 0

  async function takeEffect(barrier: Barrier): Promise<void> {
    if (pool === undefined) throw new Error('no database')
    account = (account + 1) % ACCOUNTS
    await barrier.call(pool, (tx) =>
      tx.query('update accounts set balance = balance - 1, updated_at = now() where id = $1', [account]),
    )
  }
  const answer = (response: ServerResponse, status: number): void => {
    if (status === 200) answered += 1
    response.writeHead(status).end()
  }
  const backQuery = pool && backQueryHandler({ db: pool, secrets: 'unsigned' }).node
  const listener: RequestListener = (request, response) => {
    const path = request.url?.replace(/\?.*/, '')
    if (path === '/back-query' && backQuery !== undefined) return backQuery(request, response)
    request.resume()
    request.on('end', () => {
      if (path === '/plain') return answer(response, 200)
      takeEffect(barrierFrom(request)).then(
        () => answer(response, 200),
        () => answer(response, 500),
      )
    })
  }
  const server = createServer(listener)
  server.keepAliveTimeout = 600_000
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as AddressInfo
  return {
    commands: {
      url: () => `http://127.0.0.1:${address.port}`,
      answered: () => answered,
      reset: () => {
        answered = 0
      },
      async transact(count) {
        const run = randomUUID()
        const startedAt = performance.now()
        let left = count
        const one = async (): Promise<void> => {
          while (left > 0) {
            left -= 1
            await takeEffect(createBarrier({ gid: `${run}-${left}`, branch: '1', op: 'action' }))
          }
        }
        await Promise.all(Array.from({ length: CONNECTIONS }, one))
        return (count / (performance.now() - startedAt)) * 1000
      },
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await pool?.end()
    },
  }
})
