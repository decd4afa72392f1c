/** A service that commits small transactions with one message each, at moments that are not rounded. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createOutbox } from 'postcommit'
import { serve } from '../serve.ts'

export interface PacedProducerConfig {
  readonly database: string
  readonly topic: string
  readonly connections: number
}

/** When `commit()` resolved, by the clock that all processes of the machine share, and whose message it was. */
export interface Commit {
  readonly gid: string
  readonly atMs: number
}

export type PacedProducerCommands = {
  /** Commits at `perSecond` on average for `ms`; arrivals are independent of each other and of how long commits take. */
  produce: (perSecond: number, ms: number) => Promise<readonly Commit[]>
}

serve<PacedProducerConfig, PacedProducerCommands>(async ({ database, topic, connections }) => {
  const pool = new pg.Pool({ connectionString: database, max: connections })
  await pool.query('create table if not exists orders (id bigint generated always as identity, note text)')
  const outbox = createOutbox({ db: pool })
  const text = 'x'.repeat(180)

  async function commit(): Promise<Commit> {
    const { gid } = await outbox.commit(async (tx, message) => {
      await tx.query('insert into orders (note) values ($1)', ['something was ordered'])
      message.publish(topic, { text })
    })
    return { gid, atMs: nowMs() }
  }

  return {
    commands: {
      async produce(perSecond, ms) {
        const commits: Promise<Commit>[] = []
        const startedAt = performance.now()
        for (let due = 0; due < ms; due += (-Math.log(1 - Math.random()) * 1000) / perSecond) {
          const waitMs = startedAt + due - performance.now()
          if (waitMs > 0) await sleep(waitMs)
          commits.push(commit())
        }
        return await Promise.all(commits)
      },
    },
    close: () => pool.end(),
  }
})

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
