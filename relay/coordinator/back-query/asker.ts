import { randomBytes } from 'node:crypto'
import type { BackQuery, Gid } from 'postcommit/protocol'
import type { Destination } from '../../destinations/destination.ts'
import type { CallDialect, DestinationCall } from '../../destinations/destination-call.ts'
import type { Gate } from '../../destinations/gate.ts'
import { readJsonRpcVerdict } from '../../engine/json-rpc-answer.ts'
import { readDtmVerdict, readVerdict, type VerdictAnswer } from '../../engine/read-verdict.ts'
import type { CheckOutcome } from '../../engine/transaction/record-verdict.ts'
import type { ClaimedTransaction } from '../../store/transaction/transaction-row.ts'
import { dialectOf } from '../run/dtm-words.ts'
import { callProblem } from '../run/read-branch-call.ts'
import { readStoredOptions, storedOptionsProblem } from '../stored/stored-options.ts'
import { type Route, readStoredTarget } from '../stored/stored-target.ts'

/** What came of a question, and what went wrong if it was not a verdict: for people. */
export interface Asked {
  readonly outcome: CheckOutcome
  readonly error?: string | undefined
}

/** Asks once what became of a prepared message, within a time limit of its own. What goes wrong is `unreachable` or `unknown`. */
export type Ask = (row: ClaimedTransaction, signal: AbortSignal) => Promise<Asked>

/** Who is asked what became of a prepared message. */
export interface Asker {
  /** The way to who is asked: questions share it with all other calls there. */
  readonly gate: Gate
  readonly ask: Ask
}

const TIMEOUT_MS = 2000

/** The question about a message, with a nonce that nobody can have answered before. */
export function questionAbout({ gid, options }: ClaimedTransaction): BackQuery {
  const { hint } = readStoredOptions(options)
  const nonce = randomBytes(16).toString('base64url')
  return { gid: gid as Gid, nonce, ...(hint !== undefined && { hint }) }
}

/** Asks a service over HTTP. */
export function askDestination(destination: Destination, source: string): Ask {
  return async (row, signal) => {
    const route = readStoredTarget(row.checkTarget ?? '')
    if (route.kind !== 'named' && route.kind !== 'url') return unanswerable(route)
    const question = questionAbout(row)
    const { headers = {}, lenient = false } = readStoredOptions(row.options)
    const dialect = dialectOf(row, route)
    const call: DestinationCall = {
      source,
      gid: row.gid,
      mode: row.mode,
      branch: '00',
      number: 0,
      op: 'msg',
      dialect,
      target: route.kind === 'url' ? route.url.href : route.target,
      key: undefined,
      content: dialect === 'v1' ? JSON.stringify(question) : undefined,
      headers,
      attempt: row.asked + 1,
      timeoutMs: TIMEOUT_MS,
      reads: 'body',
    }
    const problem = storedOptionsProblem(row.options) ?? callProblem(row, route, call)
    if (problem !== undefined) return { outcome: 'unknown', error: problem }
    const answer = await destination.call(call, signal)
    switch (answer.kind) {
      case 'answered': {
        const said = { status: answer.status, text: answer.body?.toString('utf8') }
        return asked(readAnswer(dialect, said, { question, lenient }), said.status)
      }
      case 'unanswered':
        return { outcome: 'unreachable', error: answer.error }
      case 'impossible':
      case 'refused':
      case 'postponed':
      case 'withheld':
        return { outcome: 'unknown', error: answer.error }
      case 'done':
        return { outcome: 'unknown', error: 'it has answered without a verdict' }
    }
  }
}

/** What no row that was handed in can say. */
export function unanswerable(route: Route): Asked {
  return { outcome: 'unknown', error: route.kind === 'unreadable' ? route.reason : 'its target is none' }
}

function asked(outcome: CheckOutcome, status: number): Asked {
  return outcome === 'unknown' ? { outcome, error: `answered ${status} without a verdict` } : { outcome }
}

function readAnswer(
  dialect: CallDialect,
  said: VerdictAnswer,
  { question, lenient }: { readonly question: BackQuery; readonly lenient: boolean },
): CheckOutcome {
  switch (dialect) {
    case 'v1':
      return readVerdict(said, question)
    case 'dtm':
      return readDtmVerdict(said, lenient)
    case 'dtm-json-rpc':
      return readJsonRpcVerdict(said, lenient)
  }
}
