/** A service that changes products which others cache. */
import pg from 'pg'
import { createOutbox } from 'postcommit'
import { valuesNamed } from 'postcommit/cache'
import { createClient } from 'redis'
import { nowMs, pace } from '../products.ts'
import { serve } from '../serve.ts'

export interface InvalidatingServiceConfig {
  readonly database: string
  readonly redis: string
}

/** A change, and when its `commit()` resolved, by the clock of the machine. */
export interface Change {
  readonly id: number
  readonly committedAt: number
}

export type InvalidatingServiceCommands = {
  /** Changes products, each another one, `perSecond` for `ms`; the relay brings the news. */
  change(perSecond: number, ms: number): Promise<readonly Change[]>
  /** The same with a plain transaction and a DEL after it; resolves to how long each DEL took, milliseconds. */
  changeAndDelete(perSecond: number, ms: number): Promise<readonly number[]>
  /** One change, of which the relay is told nothing: what a process does that dies right after COMMIT. */
  changeSilently(): Promise<Change>
}

serve<InvalidatingServiceConfig, InvalidatingServiceCommands>(async ({ database, redis }) => {
  const pool = new pg.Pool({ connectionString: database, max: 8 })
  const client = createClient({ url: redis })
  client.on('error', () => undefined)
  await client.connect()
  const products = valuesNamed<number>('product')
  const outbox = createOutbox({ db: pool })
  const silent = createOutbox({ db: pool, wake: 'off' })
  const text = 'update products set version = version + 1 where id = $1'
  let last = 0
  async function change(through = outbox): Promise<Change> {
    last += 1
    const id = last
    await through.commit(async (tx, message) => {
      await tx.query(text, [id])
      message.invalidate(products, id)
    })
    return { id, committedAt: nowMs() }
  }
  return {
    commands: {
      async change(perSecond, ms) {
        const changes: Promise<Change>[] = []
        await pace(perSecond, ms, () => void changes.push(change()))
        return await Promise.all(changes)
      },
      async changeAndDelete(perSecond, ms) {
        const changes: Promise<number>[] = []
        await pace(perSecond, ms, () => {
          changes.push(
            pool.query(text, [1]).then(async () => {
              const committedAt = performance.now()
              await client.del('plain:1')
              return performance.now() - committedAt
            }),
          )
        })
        return await Promise.all(changes)
      },
      changeSilently: () => change(silent),
    },
    async close() {
      client.destroy()
      await pool.end()
    },
  }
})
