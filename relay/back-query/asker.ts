import { randomBytes } from 'node:crypto'
import type { BackQuery, Gid } from 'postcommit/protocol'
import { readStoredOptions } from '../coordinator/stored-options.ts'
import { readStoredTarget } from '../coordinator/stored-target.ts'
import type { Dialect } from '../destinations/branch-call.ts'
import type { Destination } from '../destinations/destination.ts'
import { readDtmVerdict, readVerdict } from '../engine/read-verdict.ts'
import type { CheckOutcome } from '../engine/transaction/record-verdict.ts'
import type { ClaimedTransaction } from '../store/transaction/transaction-row.ts'

/** What came of a question, and what went wrong if it was not a verdict: for people. */
export interface Asked {
  readonly outcome: CheckOutcome
  readonly error?: string | undefined
}

/** Whom to ask what became of a prepared message. */
export interface Asker {
  /** How many may be asked at once. */
  readonly concurrency: number
  /** Asks once, within a time limit of its own. Whatever goes wrong is `unreachable` or `unknown`. */
  ask(row: ClaimedTransaction, signal: AbortSignal): Promise<Asked>
}

const TIMEOUT_MS = 2000

/** The question about a message, with a nonce that nobody can have answered before. */
export function questionAbout({ gid, options }: ClaimedTransaction): BackQuery {
  const { hint } = readStoredOptions(options)
  const nonce = randomBytes(16).toString('base64url')
  return { gid: gid as Gid, nonce, ...(hint !== undefined && { hint }) }
}

/** Asks a service over HTTP. */
export function askDestination(destination: Destination): Asker {
  return {
    concurrency: destination.concurrency,
    async ask(row, signal) {
      const route = readStoredTarget(row.checkTarget ?? '')
      if (route.kind !== 'named' && route.kind !== 'url') return { outcome: 'unknown', error: 'its target is none' }
      const question = questionAbout(row)
      const { headers = {}, lenient = false } = readStoredOptions(row.options)
      const dialect = row.dialect as Dialect
      const answer = await destination.call(
        {
          gid: row.gid,
          mode: row.mode,
          branch: '00',
          number: 0,
          op: 'msg',
          dialect,
          target: route.kind === 'url' ? route.url.href : route.target,
          key: undefined,
          content: dialect === 'dtm' ? undefined : JSON.stringify(question),
          headers,
          attempt: row.asked + 1,
          timeoutMs: TIMEOUT_MS,
        },
        signal,
      )
      switch (answer.kind) {
        case 'answered': {
          const said = { status: answer.status, text: answer.body?.toString('utf8') }
          return answered(dialect === 'dtm' ? readDtmVerdict(said, lenient) : readVerdict(said, question), said.status)
        }
        case 'unanswered':
          return { outcome: 'unreachable', error: answer.error }
        case 'impossible':
          return { outcome: 'unknown', error: answer.error }
      }
    },
  }
}

function answered(outcome: CheckOutcome, status: number): Asked {
  return outcome === 'unknown' ? { outcome, error: `answered ${status} without a verdict` } : { outcome }
}
