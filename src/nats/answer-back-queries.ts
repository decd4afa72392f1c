import { PostcommitError } from '../protocol/errors.ts'
import { Unreadable } from '../protocol/read-json.ts'
import { parseSubject } from '../protocol/subject.ts'
import { answerBackQuery, readBackQueryQuestion } from '../protocol/verdict.ts'
import {
  openPreparedMessages,
  type PreparedMessages,
  type PreparedMessagesOptions,
} from '../two-phase/open-prepared-messages.ts'
import type { NatsConnectionLike, NatsMessage } from './nats-connection.ts'

/** What {@link answerBackQueries} takes. */
export interface BackQueryAnswerOptions extends PreparedMessagesOptions {
  /** Of `@nats-io/transport-node` or `nats` 2.x. It is not closed. */
  readonly connection: NatsConnectionLike
  /** The subject of `createOutbox({ backQuery: { subject } })`, which the relay has among its `coordinator.checkSubjects`. */
  readonly subject: string
  /** Processes of one queue share the questions between them, default `postcommit`. */
  readonly queue?: string
  /** Told of every question that could not be answered. The default emits a process warning. */
  readonly onError?: (error: unknown) => void
}

/** Answering, until it is stopped. */
export interface BackQueryAnswers {
  /** Takes no more questions, and answers those that have come. */
  stop(): Promise<void>
}

/** No verdict, so that the relay need not wait for the end of its patience to know that there is none. */
const NO_VERDICT = '{}'
const QUESTION_BYTES_MAX = 4096

/**
 * Answers the relay's question what became of a commit that was announced and never released, over NATS. It is what
 * `backQueryHandler()` is over HTTP; requests of NATS are not signed, so who may publish to the subject is for the
 * permissions of the server to say.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_INVALID_SUBJECT`.
 * @example
 * ```ts
 * const answers = answerBackQueries({ connection, subject: 'orders.back-query', db })
 * process.once('SIGTERM', () => answers.stop())
 * ```
 */
export function answerBackQueries(options: BackQueryAnswerOptions): BackQueryAnswers {
  const { connection, queue = 'postcommit', onError = warn } = options
  const messages = openPreparedMessages(options, 'answerBackQueries')
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(queue)) {
    const reason = 'queue is not 1 to 64 of A-Z a-z 0-9 _ and -'
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'answerBackQueries', reason })
  }
  const underWay = new Set<Promise<void>>()
  const subscription = connection.subscribe(parseSubject(options.subject), {
    queue,
    callback(error, message) {
      // Without an address to answer to, nobody is told.
      if (error !== null || message.reply === undefined || message.reply === '') return
      const { reply } = message
      const answered = answer(messages, message)
        .catch((failure: unknown) => {
          onError(failure)
          return NO_VERDICT
        })
        .then((text) => {
          if (!connection.isClosed()) connection.publish(reply, text)
        })
        .finally(() => underWay.delete(answered))
      underWay.add(answered)
    },
  })
  return {
    async stop() {
      await subscription.drain()
      await Promise.all(underWay)
      if (!connection.isClosed()) await connection.flush()
    },
  }
}

async function answer(messages: PreparedMessages, { data }: NatsMessage): Promise<string> {
  if (data.length > QUESTION_BYTES_MAX) throw new Unreadable('', 'no question is so long')
  const question = readBackQueryQuestion(new TextDecoder('utf8', { fatal: true }).decode(data))
  return answerBackQuery(question, await messages.settlePreparedMessage(question.gid, question.hint))
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error))
}
