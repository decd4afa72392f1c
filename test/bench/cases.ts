import type { Case } from './case.ts'
import { cache } from './cases/cache.ts'
import { consumer } from './cases/consumer.ts'
import { cost } from './cases/cost.ts'
import { drain } from './cases/drain.ts'
import { flashSale } from './cases/flash-sale.ts'
import { growth } from './cases/growth.ts'
import { http } from './cases/http.ts'
import { latency } from './cases/latency.ts'
import { network } from './cases/network.ts'
import { peers } from './cases/peers.ts'
import { producer } from './cases/producer.ts'
import { saga } from './cases/saga.ts'
import { twoPhase } from './cases/two-phase.ts'
import { wakeUp } from './cases/wake-up.ts'

/** Everything that is measured, in the order in which it is. */
export const cases: readonly Case[] = [
  producer,
  network,
  drain,
  latency,
  growth,
  http,
  consumer,
  wakeUp,
  twoPhase,
  saga,
  cost,
  cache,
  flashSale,
  peers,
]
