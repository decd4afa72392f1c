/** One SQL statement with its parameters. */
export interface Statement {
  readonly text: string
  readonly values: readonly unknown[]
}

/** Runs one statement and resolves to its rows. */
export type Run = (statement: Statement) => Promise<readonly Readonly<Record<string, unknown>>[]>

/** The isolation levels a transaction can be opened with. */
export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable'

/** What the outbox and the inbox need of a database, whichever client reaches it. */
export interface Database<Tx> {
  /**
   * Runs `work` in a transaction of its own and commits it. Rejects with what `work` threw after rolling back, or
   * with a {@link CommitFailure} if `work` succeeded and COMMIT did not.
   */
  transaction<T>(work: (tx: Tx, run: Run) => Promise<T>, isolationLevel?: IsolationLevel): Promise<T>
  /** Runs one statement outside any transaction, on a connection of its own. */
  readonly run: Run
}

/** COMMIT was sent and was not answered with COMMIT. */
export class CommitFailure extends Error {
  override readonly name = 'CommitFailure'
  /** `true`: the database said that nothing was written. `false`: nobody knows yet. */
  readonly rolledBack: boolean

  constructor(rolledBack: boolean, cause?: unknown) {
    super(rolledBack ? 'COMMIT answered ROLLBACK' : 'COMMIT was not answered', { cause })
    this.rolledBack = rolledBack
  }
}
