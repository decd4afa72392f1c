import type { Logger } from 'pino'
import { closeSession } from '../postgres/sessions.ts'
import { WakeSignal } from '../wake-signal.ts'
import type { Membership } from './membership.ts'

/** How a relay keeps taking part. */
export interface AttendanceOptions {
  readonly source: string
  readonly log: Logger
  /** Joins the relays of the database; see `join`. */
  readonly join: () => Promise<Membership>
  readonly onJoined: (member: Membership) => void
  /** Ends everything that was done in the name of the membership that is over. */
  readonly onLost: () => Promise<void>
}

const REJOIN_FIRST_MS = 100
const REJOIN_CAP_MS = 2000

/**
 * Takes part in a database until told to leave: joins, and joins again whenever the database was away or the other
 * relays have declared this one dead. Each time it is another member, under another id.
 */
export class Attendance {
  /** Resolves when it takes part for the first time, or has left before that. */
  readonly begun: Promise<void>
  readonly #options: AttendanceOptions
  readonly #retry = new WakeSignal()
  readonly #ended: Promise<void>
  #member: Membership | undefined
  #problem: string | undefined = 'starting'
  #leaving = false
  #begin = (): void => undefined
  #leave = (): void => undefined

  constructor(options: AttendanceOptions) {
    this.#options = options
    this.begun = new Promise((resolve) => {
      this.#begin = resolve
    })
    this.#ended = this.#run()
  }

  /** The membership, while there is one. */
  get member(): Membership | undefined {
    return this.#member
  }

  /** Why there is none. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Gives everything back and ends. */
  async leave(): Promise<void> {
    this.#leaving = true
    this.#leave()
    this.#retry.call()
    await this.#ended
    await this.#member?.leave()
    this.#member = undefined
    this.#begin()
  }

  async #run(): Promise<void> {
    const { source, log, onLost } = this.#options
    let pauseMs = REJOIN_FIRST_MS
    while (!this.#leaving) {
      try {
        const member = await this.#join()
        pauseMs = REJOIN_FIRST_MS
        const reason = await this.#lostOrLeft(member)
        if (reason === undefined) return
        this.#problem = reason
        log.warn({ source, relayId: member.id, reason }, 'no longer taking part')
        this.#member = undefined
        await onLost()
        await closeSession(member.client)
      } catch (error) {
        this.#problem = error instanceof Error ? error.message : String(error)
        log.error({ source, error: this.#problem }, 'cannot take part')
      }
      if (!this.#leaving) await this.#retry.wait(pauseMs)
      pauseMs = Math.min(REJOIN_CAP_MS, pauseMs * 2)
    }
  }

  /** Resolves to why the others no longer believe in it, or to nothing once this relay leaves. */
  #lostOrLeft({ lost }: Membership): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#leave = () => resolve(undefined)
      if (this.#leaving) return resolve(undefined)
      void lost.then(resolve)
    })
  }

  async #join(): Promise<Membership> {
    const { source, log, join, onJoined } = this.#options
    const member = await join()
    this.#member = member
    this.#problem = undefined
    log.info({ source, relayId: member.id }, 'taking part')
    onJoined(member)
    this.#begin()
    return member
  }
}
