import { createRelay, type Relay, type RelayOptions } from '@postcommit/relay'
import { pino } from 'pino'

/** Relays of a test, all of which end with it. */
export interface TestRelays {
  /** Starts a relay; it logs at the level of the variable LOG, and not at all without it. */
  start(options: RelayOptions): Promise<Relay>
  stop(): Promise<void>
}

/** For the relays that a test embeds. */
export function testRelays(): TestRelays {
  const relays: Relay[] = []
  return {
    async start(options) {
      const log = pino({ level: process.env['LOG'] ?? 'silent' })
      const relay = createRelay({ log, drainMs: 2000, ...options })
      relays.push(relay)
      await relay.start()
      return relay
    },
    async stop() {
      await Promise.all(relays.splice(0).map((relay) => relay.stop()))
    },
  }
}
