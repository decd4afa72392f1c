import type { PreparedMessages } from 'postcommit'
import { type Asker, questionAbout } from './asker.ts'

/** Questions hold a connection for as long as they wait for an open transaction, so few at once. */
const CONCURRENCY = 4

/** Asks the database of a service itself, by the statement that its own handler would use. */
export function askInSql(messages: PreparedMessages): Asker {
  return {
    concurrency: CONCURRENCY,
    async ask(row) {
      const { gid, hint } = questionAbout(row)
      try {
        return { outcome: await messages.settlePreparedMessage(gid, hint) }
      } catch (error) {
        // Whatever the database throws decides nothing.
        return { outcome: 'unreachable', error: error instanceof Error ? error.message : String(error) }
      }
    },
  }
}
