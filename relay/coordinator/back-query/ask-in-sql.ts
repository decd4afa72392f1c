import type { PreparedMessages } from 'postcommit'
import { type Ask, questionAbout } from './asker.ts'

/** Asks the database of a service itself, by the statement that its own handler would use. */
export function askInSql(messages: PreparedMessages): Ask {
  return async (row) => {
    const { gid, hint } = questionAbout(row)
    try {
      return { outcome: await messages.settlePreparedMessage(gid, hint) }
    } catch (error) {
      // What the database throws decides nothing.
      return { outcome: 'unreachable', error: error instanceof Error ? error.message : String(error) }
    }
  }
}
