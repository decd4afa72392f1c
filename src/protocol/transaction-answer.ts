import { type Gid, parseGid } from './gid.ts'
import { LIMITS } from './limits.ts'
import {
  at,
  readBoolean,
  readJson,
  readList,
  readObject,
  readOptional,
  readWith,
  readWord,
  Unreadable,
  withoutAbsent,
} from './read-json.ts'
import { TransactionStatus } from './transaction-state.ts'

/** Where a transaction stands. Not ended, ended well, ended badly: three answers, which no caller can mix up. */
export type TransactionAnswer =
  /** Everything has taken effect. */
  | { readonly outcome: 'done'; readonly gid: Gid; readonly status: 'succeed' }
  /** Recorded; it will end without the caller. */
  | { readonly outcome: 'pending'; readonly gid: Gid; readonly status: 'prepared' | 'submitted' | 'aborting' }
  /** Nothing is left of it. */
  | { readonly outcome: 'failed'; readonly gid: Gid; readonly status: 'failed'; readonly reason?: string }

/** An operation that was not carried out, and changed nothing. */
export interface Refusal {
  readonly outcome: 'refused'
  readonly gid: Gid
  /** A code of the table of errors; a newer relay may know more of them than this side. */
  readonly code: string
  readonly message: string
  /** Whether the same operation can be carried out later. */
  readonly retryable: boolean
  /** Where the transaction stands, if that is why. */
  readonly status?: TransactionStatus
}

/** What an operation is answered; the body is `{ "results": [ … ] }`, in the order of the operations. */
export type OperationAnswer = TransactionAnswer | Refusal

/** The answer for a transaction in a state. */
export function answerOf(gid: Gid, status: TransactionStatus, reason?: string): TransactionAnswer {
  switch (status) {
    case TransactionStatus.Succeed:
      return { outcome: 'done', gid, status }
    case TransactionStatus.Prepared:
    case TransactionStatus.Submitted:
    case TransactionStatus.Aborting:
      return { outcome: 'pending', gid, status }
    case TransactionStatus.Failed:
      return reason === undefined ? { outcome: 'failed', gid, status } : { outcome: 'failed', gid, status, reason }
  }
}

/**
 * Parses the answers to a batch, or says `undefined` if the text holds anything but one answer for each gid in turn.
 * Fields that are not known are passed over: a newer relay may say more.
 */
export function parseAnswers(text: string, gids: readonly Gid[]): readonly OperationAnswer[] | undefined {
  try {
    const { results } = readObject(readJson(text), '')
    const answers = readList(results, 'results', [gids.length, gids.length], readAnswer)
    return answers.every(({ gid }, index) => gid === gids[index]) ? answers : undefined
  } catch (error) {
    if (error instanceof Unreadable) return undefined
    throw error
  }
}

function readAnswer(value: unknown, path: string): OperationAnswer {
  const fields = readObject(value, path)
  const outcome = readWord(fields['outcome'], at(path, 'outcome'), ['done', 'pending', 'failed', 'refused'])
  const gid = readWith(at(path, 'gid'), () => parseGid(fields['gid'] as string))
  if (outcome === 'refused') return readRefusal(fields, path, gid)
  const status = readStatus(fields['status'], at(path, 'status'))
  const answer = answerOf(gid, status, readOptional(fields['reason'], at(path, 'reason'), readLine))
  if (answer.outcome !== outcome) throw new Unreadable(at(path, 'outcome'), `${outcome} does not go with ${status}`)
  return answer
}

function readRefusal(fields: Readonly<Record<string, unknown>>, path: string, gid: Gid): Refusal {
  return withoutAbsent<Refusal>({
    outcome: 'refused',
    gid,
    code: readLine(fields['code'], at(path, 'code')),
    message: readLine(fields['message'], at(path, 'message')),
    retryable: readBoolean(fields['retryable'], at(path, 'retryable')),
    status: readOptional(fields['status'], at(path, 'status'), readStatus),
  })
}

function readStatus(value: unknown, path: string): TransactionStatus {
  return readWord(value, path, Object.values(TransactionStatus))
}

/** Text for people, which is shortened rather than refused. */
function readLine(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new Unreadable(path, 'not a string')
  return value.slice(0, LIMITS.reasonCharacters)
}
