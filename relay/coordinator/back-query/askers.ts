import type pg from 'pg'
import type { Logger } from 'pino'
import { preparedMessages } from 'postcommit/barrier'
import { NATS_DESTINATION } from 'postcommit/protocol'
import type { Broker } from '../../broker/broker.ts'
import { Gate } from '../../destinations/gate.ts'
import type { Gates } from '../../destinations/gates.ts'
import type { TargetRules } from '../intake/target-rules.ts'
import { ASSUME_COMMITTED } from '../stored/stored-target.ts'
import { askInSql } from './ask-in-sql.ts'
import { askOverNats } from './ask-over-nats.ts'
import { type Ask, type Asker, askDestination } from './asker.ts'
import { assumeCommitted } from './assume-committed.ts'

/** What can be asked. */
export interface AskersOptions {
  readonly source: string
  /** Databases that are asked themselves what became of a prepared message, by the name that it gives as its back-query. */
  readonly checks: ReadonlyMap<string, pg.Pool>
  readonly gates: Gates
  readonly broker: () => Broker | undefined
  /** On which subjects services may be asked. */
  readonly targets: TargetRules
  readonly log: Logger
}

/** How many questions are under way at once; those to a database hold a connection while they wait for a transaction. */
const CONCURRENCY = { database: 4, nats: 64, nothing: 64 }

/**
 * Finds who answers what became of a prepared message, under the name that the message gives. A destination is asked
 * through the gate of all its calls; what only questions go to has a gate here.
 */
export class Askers {
  readonly #options: AskersOptions
  readonly #own = new Map<string, Asker>()

  constructor(options: AskersOptions) {
    this.#options = options
    const { checks, broker, targets } = options
    const asksOn = (subject: string) => targets.asksOn(subject)
    this.#add(NATS_DESTINATION, CONCURRENCY.nats, askOverNats(broker, asksOn))
    this.#add(ASSUME_COMMITTED, CONCURRENCY.nothing, assumeCommitted)
    for (const [name, database] of checks) this.#add(name, CONCURRENCY.database, askInSql(preparedMessages(database)))
  }

  /** Undefined: this relay knows none of that name. */
  at(name: string): Asker | undefined {
    const { source, gates } = this.#options
    const gated = this.#own.has(name) ? undefined : gates.at(name)
    return gated === undefined
      ? this.#own.get(name)
      : { gate: gated.gate, ask: askDestination(gated.destination, source) }
  }

  #add(name: string, concurrency: number, ask: Ask): void {
    const { log } = this.#options
    const gate = new Gate({
      concurrency,
      onState(state) {
        if (state === 'open') log.warn({ destination: name }, 'no answer to back-queries; they are asked again later')
      },
    })
    this.#own.set(name, { gate, ask })
  }
}
