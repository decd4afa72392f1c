import type { Case } from './case.ts'
import { consumer } from './cases/consumer.ts'
import { drain } from './cases/drain.ts'
import { http } from './cases/http.ts'
import { peers } from './cases/peers.ts'
import { producer } from './cases/producer.ts'
import { wakeUp } from './cases/wake-up.ts'

/** Everything that is measured, in the order in which it is. */
export const cases: readonly Case[] = [producer, drain, http, consumer, wakeUp, peers]
