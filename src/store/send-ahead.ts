import type { Statement } from './database.ts'

/**
 * What is used of a pg client's connection: the half of it that a Submittable is given, as pg-cursor and
 * pg-copy-streams use it too. A client that has no such thing (pg-native) gets one statement a round trip.
 */
export interface Connection {
  parse(query: { readonly text?: string }): void
  bind(config: { readonly statement?: string; readonly values?: readonly (string | Buffer | null)[] }): void
  query(text: string): void
  execute(config: object): void
  sync(): void
  emit(event: string, ...args: readonly unknown[]): boolean
  readonly parsedStatements?: Readonly<Record<string, string>>
  readonly stream: { cork?(): void; uncork?(): void; destroy(): void }
}

/** Statements on their way in front of another one. */
export interface AheadOptions {
  /** Which statement they wait for, by its text; undefined if that is not known. */
  readonly inFrontOf: (text: string | undefined) => boolean
  /** Told, when that statement is sent, its text; gives what goes in front of it. */
  readonly statements: (text: string | undefined) => readonly Statement<AheadValue>[]
  /** The first column of a row that one of them gives back. */
  readonly onValue?: (value: string) => void
  /** One of them failed; the statement that they were in front of is rejected with the error. */
  readonly onError?: () => void
}

/** What can be bound as it is. */
export type AheadValue = string | number | Buffer | null

/**
 * Sends statements together with the next one that is sent over the connection, in front of it: Parse, Bind and
 * Execute without a Sync, so that all of it is one round trip and what follows an error is not carried out. JDBC has
 * opened its transactions like this for twenty years, so poolers know it.
 *
 * The next statement may be anything (a cursor, a prepared statement, a text of several): what comes in front is
 * written when the connection is asked for its first message, and the answers to it are taken out of the stream before
 * pg sees them. Nothing of pg itself is replaced for longer than that.
 *
 * @returns whether they were still waiting, and no longer do
 */
export function sendAhead(connection: Connection, options: AheadOptions): () => boolean {
  const { parse, bind, query } = connection
  let waiting = true

  // Put back by assignment: an object that a property was deleted from becomes slow for good.
  const disarm = (): boolean => {
    if (waiting) Object.assign(connection, { parse, bind, query })
    const wasWaiting = waiting
    waiting = false
    return wasWaiting
  }
  const send = (text: string | undefined, next: () => void, onError: () => void): void => {
    if (!waiting || !options.inFrontOf(text)) {
      next()
      return
    }
    disarm()
    const { stream } = connection
    stream.cork?.()
    try {
      const statements = options.statements(text)
      for (const statement of statements) write(connection, statement)
      swallow(connection, statements.length, { ...options, onError })
      next()
    } finally {
      stream.uncork?.()
    }
  }
  const { onError = () => undefined } = options
  connection.parse = (config) => send(config.text, () => parse.call(connection, config), onError)
  connection.bind = (config) =>
    send(connection.parsedStatements?.[config.statement ?? ''], () => bind.call(connection, config), onError)
  connection.query = (text) =>
    send(
      text,
      () => query.call(connection, text),
      () => {
        onError()
        // After an error the server passes over everything up to a Sync, and a simple Query brings none.
        connection.sync()
      },
    )
  return disarm
}

/** No Describe: what is wanted of a row is known, and text. */
function write(connection: Connection, { text, values }: Statement<AheadValue>): void {
  connection.parse({ text })
  connection.bind({ values: values.map((value) => (typeof value === 'number' ? String(value) : value)) })
  connection.execute({})
}

// What may come between the answers and is not one of them: news of the server, and the end of the connection.
const PASSED_ON: ReadonlySet<string> = new Set([
  'notice',
  'notification',
  'parameterStatus',
  'message',
  'newListener',
  'removeListener',
])
const ENDS: ReadonlySet<string> = new Set(['error', 'end'])

/**
 * Takes the answers to so many statements out of the stream.
 *
 * An event that is none of those known here (a pg that names its events differently) ends the connection: the answers
 * can no longer be told apart, and one that is taken for that of COMMIT would make a lost commit a certain one. The
 * statement that waits is rejected as on a cut connection.
 */
function swallow(
  connection: Connection,
  count: number,
  { onValue, onError }: Pick<AheadOptions, 'onValue'> & { readonly onError: () => void },
): void {
  const { emit } = connection
  let left = count
  connection.emit = (event, ...args) => {
    switch (event) {
      case 'parseComplete':
      case 'bindComplete':
        return true
      case 'dataRow':
        onValue?.(firstField(args[0]))
        return true
      case 'commandComplete':
        left -= 1
        if (left === 0) connection.emit = emit
        return true
      case 'errorMessage':
        connection.emit = emit
        onError()
        return emit.call(connection, event, ...args)
      default:
        if (PASSED_ON.has(event)) return emit.call(connection, event, ...args)
        if (!ENDS.has(event)) return cutOff(connection, emit)
        connection.emit = emit
        return emit.call(connection, event, ...args)
    }
  }
}

/** Ends the connection. What was read with the unknown event still follows it, so only the end is passed on. */
function cutOff(connection: Connection, emit: Connection['emit']): true {
  connection.emit = (event, ...args) => {
    if (!ENDS.has(event)) return true
    connection.emit = emit
    return emit.call(connection, event, ...args)
  }
  connection.stream.destroy()
  return true
}

function firstField(message: unknown): string {
  return String((message as { readonly fields: readonly unknown[] }).fields[0])
}
