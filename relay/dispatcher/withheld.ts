import type pg from 'pg'
import type { Logger } from 'pino'
import { within } from 'postcommit/protocol'
import type { Broker } from '../broker/broker.ts'
import { replaceTrouble, type ToldTrouble } from '../store/broker/replace-trouble.ts'
import { probeWithheld } from '../store/delivery/probe-withheld.ts'
import { releaseWithheld } from '../store/delivery/release-withheld.ts'
import { selectWithheld } from '../store/delivery/select-withheld.ts'
import { WakeSignal } from '../wake-signal.ts'

/** What looks after deliveries that wait for a subject or stream. */
export interface WithheldOptions {
  readonly source: string
  readonly pool: pg.Pool
  readonly relayId: () => string | undefined
  /** The broker, once it may be published to. */
  readonly broker: () => Broker | undefined
  /** What is in the way of messages. */
  readonly troubles: () => readonly ToldTrouble[]
  readonly log: Logger
  /** Deliveries have become due. */
  readonly onDue: () => void
}

/** Looks after what waits for subjects and streams. */
export interface Withheld {
  /** A message that waited for `scope` got through, so the others may follow. */
  release(scope: string): void
  stop(): Promise<void>
}

const TICK_MS = 1000
const RELEASED_AT_ONCE = 1000
const SCOPES_MAX = 1000
/** Of a relay that has more in its way the rest is counted by the metric only. */
const TOLD_MAX = 100
const STOP_MS = 2000

/**
 * Releases what waits for a subject or stream as soon as a message of it got through, sees to it that each has a message to
 * probe with, also after a restart, and writes down what is in the way, for commands that run in another process.
 */
export function startWithheld(options: WithheldOptions): Withheld {
  const { source, pool, relayId, log, onDue } = options
  const signal = new WakeSignal()
  const cleared = new Set<string>()
  let unregister: (() => void) | undefined
  let told = ''
  let isStopping = false

  async function look(broker: Broker): Promise<void> {
    for (const scope of cleared) {
      while (!isStopping && (await releaseWithheld(pool, scope, RELEASED_AT_ONCE)) > 0) onDue()
      cleared.delete(scope)
    }
    const waiting = await selectWithheld(pool, SCOPES_MAX)
    const alone = waiting.filter((scope) => !broker.refusals.isLookedAfter(scope))
    if (alone.length > 0 && (await probeWithheld(pool, alone)) > 0) onDue()
    const known = new Set(waiting)
    // Nothing waits for it any more, and nothing will find out by itself whether it takes messages again.
    for (const { scope } of broker.trouble()) {
      if (!known.has(scope) && !broker.refusals.isLookedAfter(scope)) broker.refusals.forget(scope)
    }
  }

  async function tell(relay: string): Promise<void> {
    const troubles = options.troubles().slice(0, TOLD_MAX)
    // Without the times, which move by themselves.
    const text = JSON.stringify([relay, troubles.map(({ scope, error }) => [scope, error])])
    if (text === told && troubles.length === 0) return
    await replaceTrouble(pool, relay, troubles)
    told = text
  }

  async function run(): Promise<void> {
    while (!isStopping) {
      await signal.wait(TICK_MS)
      const relay = relayId()
      if (relay === undefined || isStopping) continue
      try {
        const broker = options.broker()
        unregister ??= broker?.whenCleared(release)
        if (broker !== undefined) await look(broker)
        await tell(relay)
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        log.warn({ source, error: reason }, 'cannot look after what waits for a subject')
      }
    }
  }

  function release(scope: string): void {
    cleared.add(scope)
    signal.call()
  }

  const ended = run()
  return {
    release,
    async stop() {
      isStopping = true
      unregister?.()
      signal.call()
      await within(STOP_MS, ended, () => undefined)
    },
  }
}
