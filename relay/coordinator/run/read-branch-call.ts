import { type MessageHeaders, NATS_DESTINATION, parseHeaders, storedMessageProblem } from 'postcommit/protocol'
import type { DestinationCall } from '../../destinations/destination-call.ts'
import type { ClaimedTransaction } from '../../store/transaction/transaction-row.ts'
import { dtmGidProblem, dtmHeadersProblem } from '../intake/dtm-grammar.ts'
import { readStoredOptions, storedOptionsProblem } from '../stored/stored-options.ts'
import type { Route } from '../stored/stored-target.ts'
import { dialectOf } from './dtm-words.ts'
import type { StartedCall } from './started-call.ts'

/**
 * The call of a branch as its rows have it, or why it is not made: whoever may write a row must not gain the rights of
 * the relay, so rows are read by the grammar by which they are handed in.
 */
export function readBranchCall(
  source: string,
  { row, operation, op, route, limitMs }: StartedCall,
): DestinationCall | string {
  if (route.kind !== 'named' && route.kind !== 'url') return 'nothing is called there'
  const problem = storedOptionsProblem(row.options) ?? storedOptionsProblem(operation.options)
  if (problem !== undefined) return problem
  const ofAll = readStoredOptions(row.options)
  const own = readStoredOptions(operation.options)
  const call: DestinationCall = {
    source,
    gid: row.gid,
    mode: row.mode,
    branch: op.branch,
    number: operation.place + 1,
    op: op.op,
    dialect: dialectOf(row, route),
    target: route.kind === 'url' ? route.url.href : route.target,
    key: own.key ?? row.key ?? undefined,
    content: operation.payload ?? operation.body ?? undefined,
    headers: ofAll.headers === undefined ? (own.headers ?? {}) : { ...ofAll.headers, ...own.headers },
    attempt: op.attempts + 1,
    timeoutMs: limitMs,
    reads: 'body',
  }
  return callProblem(row, route, call) ?? call
}

/** Why a call, or a question, is not put like this; `undefined`: it is. */
export function callProblem(
  { dialect }: Pick<ClaimedTransaction, 'dialect'>,
  route: Route,
  call: Pick<DestinationCall, 'gid' | 'branch' | 'number' | 'key' | 'content' | 'headers'>,
): string | undefined {
  // Another branch of a message is told apart by its number only, and the name goes into a header.
  if (!BRANCH.test(call.branch)) return 'the name of its branch is not valid'
  const isBroker = route.kind === 'named' && route.destination === NATS_DESTINATION
  if (dialect === 'dtm' && !isBroker) return dtmGidProblem(call.gid) ?? dtmHeadersProblem(call.headers)
  const { gid, number: branch, key = null, content } = call
  const payload = typeof content === 'string' && content !== '' ? content : null
  const body = payload === null ? (typeof content === 'object' ? content : NOTHING) : null
  return (
    storedMessageProblem({ gid, branch, key, payload, body, headers: null }, NATS_DESTINATION, ANY_SUBJECT) ??
    headersProblem(call.headers)
  )
}

const BRANCH = /^[\x21-\x7e]{1,256}$/
/** The target has been read by then. */
const ANY_SUBJECT = 'any'
const NOTHING = new Uint8Array()

function headersProblem(headers: MessageHeaders): string | undefined {
  try {
    parseHeaders(headers)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
