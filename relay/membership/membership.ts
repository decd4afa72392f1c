import type pg from 'pg'
import type { Logger } from 'pino'
import type { ShardOwnership } from '../engine/assign-shards.ts'
import { closeSession, MEMBER_OPTIONS, openSession, type SessionConfig } from '../postgres/sessions.ts'
import { selectShards } from '../store/log/select-shards.ts'
import { buryRelay } from '../store/member/bury-relay.ts'
import { endRelaySessions, relaySessionName } from '../store/member/end-relay-sessions.ts'
import { insertRelay, type RelayIdentity } from '../store/member/insert-relay.ts'
import { renewRelay } from '../store/member/renew-relay.ts'
import { selectDeadRelays } from '../store/member/select-dead-relays.ts'
import { unlockRelay } from '../store/member/unlock-relay.ts'
import { WakeSignal } from '../wake-signal.ts'
import type { History } from './history.ts'
import { requireTrustworthy } from './trust.ts'

/** How a relay takes part in a source database. */
export interface MembershipOptions {
  readonly source: string
  readonly database: SessionConfig
  readonly identity: RelayIdentity
  readonly leaseMs: number
  readonly log: Logger
  /** What is known of the database from earlier connections. */
  readonly history: History
  /** A service has committed something, or another relay has something to do for all. */
  readonly onNotify: () => void
  /** Called every half second with who owns what. */
  readonly onShards: (shards: readonly ShardOwnership[], relays: number) => void
}

/** A relay while the others believe in it. */
export interface Membership {
  /** Its id in postcommit.relay: new at every joining, so that nothing of a former life can be mistaken for ours. */
  readonly id: string
  /** The session that holds the proof of life. */
  readonly client: pg.Client
  /** Settles with the reason when the others no longer believe, or may not. */
  readonly lost: Promise<string>
  /** Gives everything back and ends the session. */
  leave(): Promise<void>
}

const WATCH_MS = 500

/**
 * Joins the relays of a database.
 *
 * Two proofs of life, because there are two ways to be gone. A session advisory lock: PostgreSQL frees it the moment
 * the process's socket closes, so a killed relay is found within half a second. A lease by the database's clock: a
 * process that is stopped, starved or cut off keeps its socket, and is buried when the lease runs out. A relay that
 * was buried finds its row gone, or its own monotonic clock past the lease, and starts over under a new id; whatever
 * it still sends is refused by epoch and token.
 */
export async function join(options: MembershipOptions): Promise<Membership> {
  const { source, leaseMs, log } = options
  let lose: (reason: string) => void = () => undefined
  const lost = new Promise<string>((resolve) => {
    lose = resolve
  })
  // A query that hangs in a half-open connection must not outlive the lease it is to renew.
  const database = { ...options.database, query_timeout: leaseMs / 2 }
  const client = await openSession(database, undefined, MEMBER_OPTIONS, (error) => lose(error.message))
  const id = await enter().catch(async (error: unknown) => {
    await closeSession(client)
    throw error
  })
  const tick = new WakeSignal()
  let left = false
  void watch().catch((error: Error) => lose(error.message))

  async function enter(): Promise<string> {
    await requireTrustworthy(client, source)
    await options.history.compare(client)
    const entered = await insertRelay(client, options.identity, leaseMs)
    await client.query({
      text: `select set_config('application_name', $1, false)`,
      values: [relaySessionName(entered)],
    })
    client.on('notification', ({ payload }) => {
      if (payload !== entered) options.onNotify()
    })
    await client.query({ text: 'listen postcommit' })
    return entered
  }

  async function watch(): Promise<void> {
    let renewedAt = performance.now()
    while (!left) {
      const now = performance.now()
      if (now - renewedAt > leaseMs / 3) {
        if (!(await renewRelay(client, id, leaseMs))) return lose('other relays have declared this one dead')
        renewedAt = now
        await options.history.follow(client)
      }
      for (const dead of await selectDeadRelays(client, id)) await bury(dead)
      const { shards, relays } = await selectShards(client)
      if (left) return
      options.onShards(shards, relays)
      await tick.wait(WATCH_MS)
      if (performance.now() - renewedAt > leaseMs) return lose('this process was away for longer than its lease')
    }
  }

  async function bury({ id: dead, name, locked }: { id: string; name: string; locked: boolean }): Promise<void> {
    const sessions = await endRelaySessions(client, dead)
    const estate = await buryRelay(client, dead)
    if (locked) await unlockRelay(client, dead)
    log.warn({ source, relay: name, relayId: dead, sessions, ...estate }, 'a relay is gone; its work is taken over')
  }

  return {
    id,
    client,
    lost,
    async leave() {
      left = true
      tick.call()
      await buryRelay(client, id).catch(() => undefined)
      await closeSession(client)
    },
  }
}
