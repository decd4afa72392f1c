/** One SQL statement with its parameters. */
export interface Statement<Value = unknown> {
  readonly text: string
  readonly values: readonly Value[]
}

/** What a statement gives back. */
export type Rows = readonly Readonly<Record<string, unknown>>[]

/** Runs one statement and resolves to its rows. */
export type Run = (statement: Statement) => Promise<Rows>

/** The isolation levels a transaction can be opened with. */
export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable'

/** How a transaction is opened. */
export interface TransactionOptions {
  readonly isolationLevel?: IsolationLevel | undefined
  /** The first statement; it goes with BEGIN in one message where the client can do that. Its values are text. */
  readonly opening?: Statement<string> | undefined
}

/** What the outbox and the inbox need of a database, whichever client reaches it. */
export interface Database<Tx> {
  /**
   * Runs `work` in a transaction of its own and commits it. Rejects with what `work` threw after rolling back, or
   * with a {@link CommitFailure} if `work` succeeded and COMMIT did not. `opened` are the rows of the opening
   * statement, none if there is no such statement.
   */
  transaction<T>(work: (tx: Tx, run: Run, opened: Rows) => Promise<T>, options?: TransactionOptions): Promise<T>
  /**
   * Whether a COMMIT that is answered ROLLBACK (an earlier statement failed and its error was swallowed) is noticed.
   * Where it is not, the last statement must be one that fails in such a transaction.
   */
  readonly noticesRollback: boolean
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
