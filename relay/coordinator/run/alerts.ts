import type { Logger } from 'pino'
import { Agent, request } from 'undici'
import type { Op } from '../../engine/transaction/op.ts'
import type { ClaimedTransaction } from '../../store/transaction/transaction-row.ts'
import type { EndedCall } from './unwritten-work.ts'

/** Where to report branches that keep failing. */
export interface AlertsOptions {
  /** Called by POST with `{ gid, mode, status, branch, op, attempts, error }`. */
  readonly url: string
  /** After so many failed attempts of one op, and after as many again. */
  readonly everyAttempts: number
}

const UNDER_WAY_MAX = 8
const TIMEOUT_MS = 5000

/**
 * Reports branches that keep failing, and branches that refuse what was decided, which only an operator can fix. It is a courtesy: an alert that cannot be delivered is logged and dropped, and no branch waits
 * for one.
 */
export class Alerts {
  readonly #options: { readonly source: string; readonly log: Logger; readonly alerts?: AlertsOptions | undefined }
  readonly #agent = new Agent({ connections: 2, connect: { timeout: TIMEOUT_MS } })
  #underWay = 0

  constructor(options: { readonly source: string; readonly log: Logger; readonly alerts?: AlertsOptions | undefined }) {
    this.#options = options
  }

  /** A call of an op gave no decision, or refused one. */
  trouble(row: ClaimedTransaction, op: Op, call: EndedCall, refusedDecision: boolean): void {
    const { source, log, alerts } = this.#options
    const { gid, mode, status } = row
    const error = 'error' in call.outcome ? call.outcome.error : ''
    const attempts = op.attempts + (call.isAway ? 0 : 1)
    const entry = { source, gid, mode, status, branch: op.branch, op: op.op, attempts, error }
    if (refusedDecision) log.warn(entry, 'a branch refuses what has been decided; it is called again')
    else log.info(entry, 'a branch failed; it is called again')
    if (alerts === undefined || call.isAway || attempts % alerts.everyAttempts !== 0) return
    if (this.#underWay >= UNDER_WAY_MAX) {
      log.warn({ source, gid }, 'an alert was dropped: too many are under way')
      return
    }
    const target = row.operations.find((one) => one.branch === op.branch && one.op === op.op)?.target
    const body =
      row.dialect === 'dtm'
        ? { gid, status, branch: target, error, retry_count: attempts }
        : { gid, mode, status, branch: op.branch, op: op.op, attempts, error }
    void this.#post(alerts.url, body)
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  async #post(url: string, body: object): Promise<void> {
    const { source, log } = this.#options
    this.#underWay += 1
    try {
      const answer = await request(url, {
        method: 'POST',
        dispatcher: this.#agent,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      await answer.body.dump()
      if (answer.statusCode >= 300)
        log.warn({ source, status: answer.statusCode }, 'the alert webhook refused an alert')
    } catch (error) {
      const reason = error instanceof Error && 'code' in error ? String(error.code) : 'no answer'
      log.warn({ source, error: reason }, 'an alert could not be delivered')
    } finally {
      this.#underWay -= 1
    }
  }
}
