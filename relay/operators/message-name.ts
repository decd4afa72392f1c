import { gidProblem, messageId, parseGid, parseMessageId } from 'postcommit/protocol'

/** What an operator names: one message by gid and number, all of a gid, or one by its number in the database. */
export type MessageName = { readonly gid: string; readonly branch: number | undefined } | { readonly id: string }

/** How a message is called where an operator may type it again: a gid that is none cannot be typed, its number can. */
export function nameOfMessage({ id, gid, branch }: { id: string; gid: string; branch: number }): string {
  const isPlain = gidProblem(gid) === undefined && branch >= 0
  return isPlain ? messageId(gid, branch) : `#${id}`
}

/** @throws `POSTCOMMIT_INVALID_GID` */
export function readMessageName(text: string): MessageName {
  if (/^#\d{1,18}$/.test(text)) return { id: text.slice(1) }
  return parseMessageId(text) ?? { gid: parseGid(text), branch: undefined }
}
