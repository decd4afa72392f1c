import type { Verdict } from 'postcommit/protocol'

/** The sender's database: its local transaction, and the barrier row by which it is asked about. */
export class LocalTransaction {
  state: 'not begun' | 'open' | 'committed' | 'rolled back' = 'not begun'
  #tombstone = false

  /** Inserts the barrier row first; false if somebody has closed the door. */
  begin(): boolean {
    if (this.#tombstone) return false
    this.state = 'open'
    return true
  }

  end(commits: boolean): void {
    if (this.state === 'open') this.state = commits ? 'committed' : 'rolled back'
  }

  /** A question that inserts: what has not begun by now never will. */
  ask(): Verdict {
    switch (this.state) {
      case 'open':
        return 'in_progress'
      case 'committed':
        return 'committed'
      case 'not begun':
      case 'rolled back':
        this.#tombstone = true
        return 'aborted'
    }
  }
}
