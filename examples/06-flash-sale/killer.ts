/** Kills the cast, one after the other, each started again before the next one goes. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Told } from './crowd.ts'
import type { Market, Victim } from './market.ts'

/** Somebody who kills. */
export interface Killer {
  /** How often each was killed so far. */
  readonly kills: ReadonlyMap<Victim, number>
  /** Told whenever somebody was answered. */
  answered(told: Told): void
  /** Resolves when everybody is back. */
  stop(): Promise<void>
}

/** Kills each once while the crowd is served, the relay twice: at the same points in each run. */
export function killInTurn(market: Market, people: number): Killer {
  const plan: readonly Victim[] = ['the relay', 'the shop', 'Redis', 'the relay', 'the shop']
  const kills = new Map<Victim, number>()
  let planned = 0
  let killing = Promise.resolve()
  return {
    kills,
    answered({ served, refused }) {
      const victim = plan[planned]
      if (victim === undefined || served + refused < ((planned + 1) * people) / (plan.length + 2)) return
      planned += 1
      killing = killing.then(() => kill(market, victim, kills))
    },
    stop: () => killing,
  }
}

/** Kills somebody at random every `everyMs`; later, if the last one is not back by then. */
export function killAllTheTime(market: Market, everyMs: number): Killer {
  const kills = new Map<Victim, number>()
  const stopping = new AbortController()
  const killing = (async () => {
    while (!stopping.signal.aborted) {
      const startedAt = performance.now()
      const victim = market.victims[Math.floor(Math.random() * market.victims.length)]
      if (victim !== undefined) await kill(market, victim, kills)
      const restMs = Math.max(0, everyMs - (performance.now() - startedAt))
      await sleep(restMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  })()
  return {
    kills,
    answered: () => undefined,
    stop() {
      stopping.abort()
      return killing
    },
  }
}

async function kill(market: Market, victim: Victim, kills: Map<Victim, number>): Promise<void> {
  kills.set(victim, (kills.get(victim) ?? 0) + 1)
  await market.kill(victim)
}
