import { setMaxListeners } from 'node:events'
import { failpoint } from 'postcommit/protocol'
import { type AnswerFacts, readBranchAnswer, readDtmAnswer, readLenientAnswer } from '../../engine/branch-answer.ts'
import type { CallAnswer } from '../../engine/call-answer.ts'
import { errorText } from '../../engine/error-text.ts'
import { readJsonRpcAnswer } from '../../engine/json-rpc-answer.ts'
import type { CallOutcome } from '../../engine/transaction/record-outcome.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { readStoredOptions } from '../stored/stored-options.ts'
import { laneOf } from '../stored/stored-target.ts'
import { dialectOf, dtmRefusal } from './dtm-words.ts'
import type { Places } from './places.ts'
import { readBranchCall } from './read-branch-call.ts'
import type { StartedCall } from './started-call.ts'
import type { EndedCall } from './unwritten-work.ts'

/** What branches are called with. */
export interface BranchCallerOptions {
  readonly source: string
  readonly places: Places
  readonly metrics: Metrics
}

/** Calls branches at their destinations and reads their answers. */
export class BranchCaller {
  readonly #options: BranchCallerOptions
  readonly #aborter = new AbortController()

  constructor(options: BranchCallerOptions) {
    this.#options = options
    // One listener for every call under way.
    setMaxListeners(0, this.#aborter.signal)
  }

  /** Cuts off what is under way. */
  abort(): void {
    this.#aborter.abort()
  }

  /** Makes one call; undefined: it was cut off. Never rejects. */
  async call(started: StartedCall): Promise<EndedCall | undefined> {
    if (this.#aborter.signal.aborted) return undefined
    const startedAt = performance.now()
    const answer = await this.#make(started).catch(failed)
    if (this.#aborter.signal.aborted) return undefined
    const ended = endedOf(started, answer, performance.now() - startedAt)
    this.#count(started, ended)
    return ended
  }

  async #make(started: StartedCall): Promise<CallAnswer> {
    const { operation, route } = started
    if (route.kind === 'nobody') return { kind: 'answered', status: 200, body: undefined }
    if (route.kind === 'unreadable') return { kind: 'impossible', error: route.reason }
    const lane = laneOf(route)
    const destination = lane === undefined ? undefined : this.#options.places.destination(lane)
    if (destination === undefined || (route.kind !== 'named' && route.kind !== 'url')) {
      return { kind: 'impossible', error: `this relay has no destination for ${operation.target.slice(0, 100)}` }
    }
    const call = readBranchCall(this.#options.source, started)
    if (typeof call === 'string') return { kind: 'impossible', error: call }
    failpoint('coordinator.before_call')
    const answer = await destination.call(call, this.#aborter.signal)
    failpoint('coordinator.after_response')
    return answer
  }

  #count({ route }: StartedCall, { outcome, isAway }: EndedCall): void {
    const { source, metrics } = this.#options
    const destination = route.kind === 'named' ? route.destination : route.kind
    metrics.branchCalls.inc({ source, destination, outcome: isAway ? 'unavailable' : outcome.kind })
  }
}

function endedOf(started: StartedCall, answer: CallAnswer, durationMs: number): EndedCall {
  switch (answer.kind) {
    case 'answered': {
      const { row } = started
      const { status, body, retryAfterMs } = answer
      const facts = { status, retryAfterMs, text: () => body?.toString('utf8') ?? '' }
      const { outcome, result } = read(started, facts)
      const isKept = outcome.kind === 'done' && row.mode !== 'msg' && body !== undefined && body.length > 0
      return {
        outcome: inItsWords(started, answer, outcome),
        isAway: result === 'away',
        status,
        durationMs,
        result: isKept ? body : undefined,
      }
    }
    // What a function says is read as the status that says the same.
    case 'done':
      return endedOf(started, { kind: 'answered', status: 200, body: undefined }, durationMs)
    case 'refused':
      return endedOf(started, { kind: 'answered', status: 409, body: Buffer.from(answer.error) }, durationMs)
    case 'postponed': {
      const { error, retryAfterMs } = answer
      return endedOf(started, { kind: 'answered', status: 503, body: Buffer.from(error), retryAfterMs }, durationMs)
    }
    case 'withheld':
      // Of its subject or stream: the breaker of the broker must not open for it.
      return { outcome: { kind: 'retry', error: errorText(answer.error) }, isAway: false, durationMs }
    case 'unanswered': {
      const outcome = { kind: 'retry', error: errorText(answer.error) } as const
      return { outcome, isAway: answer.result === 'away', durationMs }
    }
    case 'impossible':
      // Perhaps at another relay, or after a change of the configuration: what has been decided is never dropped.
      return { outcome: { kind: 'retry', error: errorText(answer.error) }, isAway: false, isOfBranch: true, durationMs }
  }
}

function read({ row, route }: StartedCall, facts: AnswerFacts) {
  const { lenient = false } = readStoredOptions(row.options)
  switch (dialectOf(row, route)) {
    case 'v1':
      return readBranchAnswer(facts)
    case 'dtm':
      return lenient ? readLenientAnswer(facts) : readDtmAnswer(facts)
    case 'dtm-json-rpc':
      return readJsonRpcAnswer(facts, lenient)
  }
}

/** A refusal in DTM's dialect is told with the words of the branch. */
function inItsWords(
  { row, operation }: StartedCall,
  { status, body }: Extract<CallAnswer, { kind: 'answered' }>,
  outcome: CallOutcome,
): CallOutcome {
  if (row.dialect !== 'dtm' || outcome.kind !== 'failure') return outcome
  return { ...outcome, error: dtmRefusal(operation.target, status, body?.toString('utf8') ?? '') }
}

function failed(error: unknown): CallAnswer {
  return { kind: 'unanswered', result: 'failed', error: error instanceof Error ? error.message : String(error) }
}
