/** One SQL statement with its parameters. */
export interface Statement<Value = unknown> {
  readonly text: string
  readonly values: readonly Value[]
}

/**
 * What tells the transaction that was opened here from any other on the same connection: a setting that is local to it,
 * and so gone when it has ended. A transaction status is not enough: after "rollback; begin" it is the same.
 */
export type TransactionIdentity = string

/** What a statement gives back. */
export type Rows = readonly Readonly<Record<string, unknown>>[]

/** Runs one statement and resolves to its rows. */
export interface Run {
  (statement: Statement): Promise<Rows>
  /** Which transaction the statements are in; undefined: one that the caller opened, or none. */
  readonly identity?: TransactionIdentity
}

/** The isolation levels a transaction can be opened with. */
export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable'

/** How a transaction is opened. */
export interface TransactionOptions {
  /** Whose transaction it is, for errors: the name of the function that the user has called. */
  readonly caller: string
  /** The global transaction it is about. */
  readonly gid?: string | undefined
  readonly isolationLevel?: IsolationLevel | undefined
  /** The first statement; it goes with BEGIN in one message where the client can do that. Its values are text. */
  readonly opening?: Statement<string> | undefined
  /**
   * Whether the transaction's xid is drawn with its first statement where the client can do that, and so is known
   * before its last one: then that may go with COMMIT (see {@link Finish}).
   */
  readonly xidFirst?: boolean | undefined
  /** Whether statements may share a round trip where the client can do that; default true. */
  readonly sendAhead?: boolean | undefined
}

/**
 * Runs the last statement of a transaction, whose column `xid` is the xid of it, and resolves to that xid; undefined
 * if the transaction has none. Where the xid is known before, the statement waits for COMMIT and goes with it in one
 * message: whatever becomes of the connection, the commit log can be asked about that xid. What the statement fails
 * with is then what COMMIT is rejected with.
 *
 * The statement has to refuse any other transaction than `run.identity`. A transaction that ends without one is closed
 * with {@link assertTransaction}.
 */
export type Finish = (statement: Statement) => Promise<string | undefined>

/** What the outbox and the inbox need of a database, whichever client reaches it. */
export interface Database<Tx> {
  /**
   * Runs `work` in a transaction of its own and commits it: that one, or none. Rejects with what `work` threw after
   * rolling back, or with a {@link CommitFailure} if `work` succeeded and COMMIT did not. `opened` are the rows of the
   * opening statement, none if there is no such statement.
   *
   * Statements of `tx` that would end the transaction are refused before they are sent. One that gets past that (in a
   * text of several, or through another object) is found out by the last statement, whose server refuses it.
   *
   * @throws `POSTCOMMIT_TX_CONTROL`, `POSTCOMMIT_TX_ENDED`, `POSTCOMMIT_TX_ABORTED`, `POSTCOMMIT_SCHEMA_MISSING`.
   */
  transaction<T>(
    work: (tx: Tx, run: Run, opened: Rows, finish: Finish) => Promise<T>,
    options: TransactionOptions,
  ): Promise<T>
  /**
   * Whether a connection that the server ends in the middle of a transaction, with no statement under way, does no more
   * than fail the next one. Kysely hands out none to listen at, and a pg client that is not listened to ends the process.
   */
  readonly survivesLoss: boolean
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

/** A {@link Finish} that runs the statement by itself. */
export function finishWith(run: Run): Finish {
  return async (statement) => {
    const [row] = await run(statement)
    return typeof row?.['xid'] === 'string' ? row['xid'] : undefined
  }
}
