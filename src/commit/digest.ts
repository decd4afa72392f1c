import { createHash } from 'node:crypto'
import type { CollectedMessage } from '../store/collected-message.ts'

/** What a set of messages stands for, as a SHA-256: where each goes, when, and its exact content. */
export function digestMessages(messages: readonly CollectedMessage[]): string {
  const hash = createHash('sha256')
  for (const message of messages) {
    const { kind, branch, target, key, headers, content } = message
    const fate = kind === 'delivery' ? [message.destination, message.due.at?.toISOString(), message.due.delayMs] : []
    // JSON delimits the fields, so that no two different messages can run together into the same text.
    hash.update(JSON.stringify([kind, branch, target, key, headers, ...fate, content.text ?? null]))
    if (content.bytes !== undefined) hash.update(`${content.bytes.length}:`).update(content.bytes)
  }
  return hash.digest('hex')
}
