import { type Gid, parseGid } from './gid.ts'
import { LIMITS } from './limits.ts'
import {
  readJson,
  readObject,
  readOptional,
  readText,
  readWith,
  readWord,
  Unreadable,
  withoutAbsent,
} from './read-json.ts'

/** What the local transaction of a prepared message has come to. */
export const Verdict = {
  /** It is committed. */
  Committed: 'committed',
  /** It is not, and can never be any more: the door is closed on it. */
  Aborted: 'aborted',
  /** It may still be either; ask again. */
  InProgress: 'in_progress',
} as const

/** A verdict of {@link Verdict}. */
export type Verdict = (typeof Verdict)[keyof typeof Verdict]

/** The question of a back-query: the body of a POST. */
export interface BackQuery {
  readonly gid: Gid
  /** Drawn for this question; the answer repeats it. */
  readonly nonce: string
  /** What the prepare gave along. */
  readonly hint?: string
}

const NONCE = /^[A-Za-z0-9_-]{16,64}$/
/** An answer is three short fields; whatever is longer is somebody's error page. */
const ANSWER_CHARACTERS = 1024

/**
 * Reads the question of a back-query.
 * @throws Unreadable.
 */
export function readBackQueryQuestion(text: string): BackQuery {
  const fields = readObject(readJson(text), '', ['gid', 'nonce', 'hint'])
  return withoutAbsent<BackQuery>({
    gid: readWith('gid', () => parseGid(fields['gid'] as string)),
    nonce: readNonce(fields['nonce']),
    hint: readOptional(fields['hint'], 'hint', (hint, path) => readText(hint, path, LIMITS.hintCharacters)),
  })
}

/** The answer to a back-query: the body of a 200. */
export function answerBackQuery({ gid, nonce }: BackQuery, outcome: Verdict): string {
  return JSON.stringify({ gid, nonce, outcome })
}

/**
 * The verdict in an answer, or `undefined` if it is none.
 *
 * Nothing counts but an object of exactly these three fields that repeats the gid and the nonce of the question: an
 * error page, a default route, a cache or a service behind the wrong address must never decide over a message. The
 * caller has seen to it that the status was 200.
 */
export function parseVerdict(text: string, asked: BackQuery): Verdict | undefined {
  if (text.length > ANSWER_CHARACTERS) return undefined
  try {
    const { gid, nonce, outcome } = readObject(readJson(text), '', ['gid', 'nonce', 'outcome'])
    return gid === asked.gid && nonce === asked.nonce ? readWord(outcome, 'outcome', Object.values(Verdict)) : undefined
  } catch (error) {
    if (error instanceof Unreadable) return undefined
    throw error
  }
}

function readNonce(value: unknown): string {
  if (typeof value === 'string' && NONCE.test(value)) return value
  throw new Unreadable('nonce', 'not 16 to 64 of A-Z a-z 0-9 _ and -')
}
