import { PostcommitError } from './errors.ts'
import { LIMITS } from './limits.ts'

declare const brand: unique symbol

/** A global transaction id: names one commit and everything that follows from it. */
export type Gid = string & { readonly [brand]: 'Gid' }

const GID = new RegExp(`^[A-Za-z0-9_-]{1,${LIMITS.gidCharacters}}$`)

/** Why `value` is no gid, or `undefined` if it is one. */
export function gidProblem(value: unknown): string | undefined {
  if (typeof value === 'string' && GID.test(value)) return undefined
  return `it is not 1 to ${LIMITS.gidCharacters} characters of A-Z a-z 0-9 _ -`
}

/**
 * Parses a gid.
 * @throws `POSTCOMMIT_INVALID_GID` unless it is 1 to 64 characters of `A-Z a-z 0-9 _ -`.
 */
export function parseGid(value: string): Gid {
  if (gidProblem(value) !== undefined) {
    throw new PostcommitError('POSTCOMMIT_INVALID_GID', { gid: JSON.stringify(value) ?? String(value) })
  }
  return value as Gid
}

/**
 * The id of one message: unique for ever, the same at every attempt. It is the `Nats-Msg-Id` that JetStream
 * deduplicates by, the `webhook-id` of a call, and what the inbox remembers.
 */
export function messageId(gid: string, branch: number): string {
  return `${gid}:${branch}`
}

/** The parts of a {@link messageId}, or `undefined` if the text is none. */
export function parseMessageId(id: string): { readonly gid: Gid; readonly branch: number } | undefined {
  const match = /^([A-Za-z0-9_-]{1,64}):(\d{1,9})$/.exec(id)
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  return { gid: match[1] as Gid, branch: Number(match[2]) }
}
