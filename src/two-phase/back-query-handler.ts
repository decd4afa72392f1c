import { type Answer, problem } from '../http/answer.ts'
import { type FetchListener, fetchListener } from '../http/fetch-listener.ts'
import { type NodeListener, nodeListener } from '../http/node-listener.ts'
import type { Call } from '../http/receive-call.ts'
import { parseSecrets, type Verification, verifyRequest } from '../http/signing-secrets.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { Unreadable } from '../protocol/read-json.ts'
import { answerBackQuery, readBackQueryQuestion } from '../protocol/verdict.ts'
import { openPreparedMessages, type PreparedMessages, type PreparedMessagesOptions } from './open-prepared-messages.ts'

/** What {@link backQueryHandler} takes. */
export interface BackQueryOptions extends PreparedMessagesOptions {
  /** As of `handler()`: the signing secrets (`whsec_…`), or `'unsigned'`. */
  readonly secrets: readonly string[] | 'unsigned'
  /** How far the time of a signature may be from now, seconds, default 300. */
  readonly toleranceSeconds?: number
  /** Told of every question that could not be answered. The default emits a process warning. */
  readonly onError?: (error: unknown) => void
}

/** A handler for back-queries, in the two shapes that servers take. */
export interface BackQueryHandler {
  /** For `node:http`, express, fastify. */
  readonly node: NodeListener
  /** For hono and everything else that speaks `Request` and `Response`. */
  readonly fetch: FetchListener
}

const QUESTION_BYTES_MAX = 4096

/**
 * Answers the relay's question what became of a commit that was announced and never released. Asking decides: a
 * transaction that has not begun by then will not commit any more.
 *
 * Answers 200 with the verdict and nothing else with 200; 503 if the database cannot be asked, 401, 400, 405 or 413 for
 * a request that no relay sends. The relay takes nothing but a verdict for its own question as one.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_INVALID_SECRET`.
 * @example
 * ```ts
 * app.post('/back-query', backQueryHandler({ db, secrets: [secret] }).node) // hono: (c) => backQuery.fetch(c.req.raw)
 * ```
 */
export function backQueryHandler(options: BackQueryOptions): BackQueryHandler {
  const { onError = warn } = options
  const messages = openPreparedMessages(options, 'backQueryHandler')
  const verification: Verification = {
    keys: parseSecrets(options.secrets, 'backQueryHandler'),
    toleranceSeconds: options.toleranceSeconds ?? 300,
  }
  const receive = (call: Call) => receiveBackQuery(messages, verification, onError, call)
  return { node: nodeListener(receive), fetch: fetchListener(receive) }
}

async function receiveBackQuery(
  messages: PreparedMessages,
  verification: Verification,
  onError: (error: unknown) => void,
  call: Call,
): Promise<Answer> {
  if (call.method !== 'POST') return problem(405, 'the relay sends POST', { allow: 'POST' })
  try {
    const body = await call.readBody(QUESTION_BYTES_MAX)
    if (body === undefined) return problem(413, 'no question is so long', { connection: 'close' })
    verifyRequest(verification, call.headers, body)
    const question = readBackQueryQuestion(Buffer.from(body).toString('utf8'))
    const verdict = await messages.settlePreparedMessage(question.gid, question.hint)
    return {
      status: 200,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
      body: answerBackQuery(question, verdict),
    }
  } catch (error) {
    if (error instanceof Unreadable) return problem(400, error.message)
    if (error instanceof PostcommitError && REFUSED.has(error.code)) return problem(401, error.message, {}, error.code)
    onError(error)
    return problem(503)
  }
}

const REFUSED: ReadonlySet<string> = new Set([
  'POSTCOMMIT_SIGNATURE_MISSING',
  'POSTCOMMIT_SIGNATURE_INVALID',
  'POSTCOMMIT_TIMESTAMP_OUT_OF_RANGE',
])

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error))
}
