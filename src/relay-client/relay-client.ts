import type { Agent } from 'node:http'
import { drawGid } from '../gid.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { type Gid, parseGid } from '../protocol/gid.ts'
import { LIMITS } from '../protocol/limits.ts'
import { readDefinition } from '../protocol/read-definition.ts'
import { Unreadable, withoutAbsent } from '../protocol/read-json.ts'
import type { OperationAnswer, Refusal, TransactionAnswer } from '../protocol/transaction-answer.ts'
import type { BranchDefinition, TransactionDefinition } from '../protocol/transaction-definition.ts'
import type { RegisterBranchOperation, SubmitOperation, TransactionOperation } from '../protocol/transaction-request.ts'
import type { TransactionMode } from '../protocol/transaction-state.ts'
import { OperationQueue } from './operation-queue.ts'
import { connectRelay } from './relay-connection.ts'

/** What {@link createRelayClient} takes. */
export interface RelayClientOptions {
  /** The relay's HTTP address, `http://` or `https://`, with a base path if it is behind one. */
  readonly url: string
  /** Sent as `authorization: Bearer …`. */
  readonly apiKey?: string
  /** How long an operation is tried before it is given up, milliseconds, default 10000. */
  readonly timeoutMs?: number
  /** How long one request may take, milliseconds, default 3000. */
  readonly requestTimeoutMs?: number
  /** Requests under way at the same time, 1 to 8, default 2. More of them make each smaller. */
  readonly requestsInFlightMax?: number
  /** Operations in one request, at most and by default 500. */
  readonly operationsPerRequestMax?: number
  /** Connections of your own, for client certificates, a proxy or a unix socket. It is not closed with the client. */
  readonly agent?: Agent
}

/** How one operation is made. */
export interface OperationOptions {
  /** As of {@link RelayClientOptions}, for this operation. */
  readonly timeoutMs?: number
}

/** How a branch is registered. */
export interface RegisterOptions extends OperationOptions {
  /**
   * Branches whose actions you have seen end: they happened before this one, which is undone before them. What is not
   * named is undone side by side with it. Default none.
   */
  readonly ended?: readonly string[]
}

/** How one operation whose end can be waited for is made. */
export interface WaitOptions extends OperationOptions {
  /** Wait so long for the transaction to end, milliseconds up to 60000; then the answer is `pending`. Default 0. */
  readonly waitMs?: number
}

/**
 * Speaks to the relay. Every call may be repeated with the same gid, and is, when an answer is lost.
 *
 * All of them reject with `POSTCOMMIT_RELAY_UNREACHABLE` if no answer came in time (it may have been recorded),
 * `POSTCOMMIT_RELAY_REFUSED`, `POSTCOMMIT_RELAY_CLIENT_CLOSED`, `POSTCOMMIT_INVALID_GID`, and where they apply
 * `POSTCOMMIT_GID_CONFLICT`, `POSTCOMMIT_TRANSACTION_DECIDED`, `POSTCOMMIT_UNKNOWN_TRANSACTION` and
 * `POSTCOMMIT_INVALID_TRANSACTION`.
 */
export interface RelayClient {
  /**
   * Announces a transaction under `gid` before the local commit. The relay records it as `prepared` and sends nothing
   * until {@link RelayClient.submit}, or until the service answers its back-query with `committed`. Repeating the call
   * with the same content changes nothing.
   *
   * @throws `POSTCOMMIT_GID_CONFLICT` if the gid already has another content, `POSTCOMMIT_INVALID_TRANSACTION`.
   * @example
   * ```ts
   * await relay.prepare(gid, definition)
   * await commitLocally(gid)
   * await relay.submit(gid)
   * ```
   */
  prepare(gid: string, transaction: TransactionDefinition, options?: OperationOptions): Promise<TransactionAnswer>
  /**
   * Lets a prepared transaction go forward. With `transaction` it need not have been prepared: the relay records and
   * submits it at once. With `waitMs` the answer comes when the transaction has ended, or after that time.
   *
   * @throws `POSTCOMMIT_TRANSACTION_DECIDED` if it was aborted before, `POSTCOMMIT_UNKNOWN_TRANSACTION` if there is no
   * such gid and no `transaction`, `POSTCOMMIT_GID_CONFLICT`, `POSTCOMMIT_INVALID_TRANSACTION`.
   */
  submit(gid: string, transaction?: TransactionDefinition, options?: WaitOptions): Promise<TransactionAnswer>
  /**
   * Aborts a prepared transaction. Call it only when the local transaction has certainly rolled back: the decision is
   * final. `reason` is kept with the transaction.
   *
   * @throws `POSTCOMMIT_TRANSACTION_DECIDED` if it was submitted before, `POSTCOMMIT_UNKNOWN_TRANSACTION`.
   */
  abort(gid: string, reason?: string, options?: OperationOptions): Promise<TransactionAnswer>
  /**
   * Adds a branch to a prepared transaction, before its action is called. `mode` is the mode that the transaction was
   * prepared with.
   */
  registerBranch(
    gid: string,
    mode: TransactionMode,
    branch: BranchDefinition,
    options?: RegisterOptions,
  ): Promise<TransactionAnswer>
  /**
   * The state of a transaction. With `waitMs` the answer comes when the transaction has ended, or after that time.
   *
   * @throws `POSTCOMMIT_UNKNOWN_TRANSACTION` if the relay has no such gid.
   */
  query(gid: string, options?: WaitOptions): Promise<TransactionAnswer>
  /**
   * Starts a saga under a gid of its own or of the caller's. Without `waitMs` it resolves when the saga is recorded.
   *
   * @example
   * ```ts
   * const answer = await relay.submitSaga(order, { gid: requestId, waitMs: 5000 })
   * if (answer.outcome === 'failed') throw new Error(answer.reason)
   * ```
   */
  submitSaga(saga: TransactionDefinition, options?: WaitOptions & { readonly gid?: string }): Promise<TransactionAnswer>
  /** Waits for what is under way, each until its time is over, and closes the connections. */
  close(): Promise<void>
}

/**
 * Opens a client of the relay. Calls at the same time share requests.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 * @example
 * ```ts
 * const relay = createRelayClient({ url: 'http://relay:8484', apiKey })
 * ```
 */
export function createRelayClient(options: RelayClientOptions): RelayClient {
  const url = parseUrl(options.url)
  const timeoutMs = within('timeoutMs', options.timeoutMs, 1, 600_000, 10_000)
  const connection = connectRelay({ url, apiKey: parseApiKey(options.apiKey), agent: options.agent })
  const queue = new OperationQueue({
    connection,
    relay: url.origin,
    requestTimeoutMs: within('requestTimeoutMs', options.requestTimeoutMs, 1, 600_000, 3000),
    requestsInFlightMax: within('requestsInFlightMax', options.requestsInFlightMax, 1, 8, 2),
    operationsPerRequestMax: within(
      'operationsPerRequestMax',
      options.operationsPerRequestMax,
      1,
      LIMITS.operationsPerBatch,
      LIMITS.operationsPerBatch,
    ),
  })
  const ask = async (operation: TransactionOperation, given: OperationOptions = {}): Promise<TransactionAnswer> =>
    accepted(await queue.ask(operation, within('timeoutMs', given.timeoutMs, 1, 600_000, timeoutMs)))
  // async: what is wrong with an argument rejects like everything else.
  return {
    prepare: async (gid, transaction, given) => ask({ do: 'prepare', gid: parseGid(gid), transaction }, given),
    submit: async (gid, transaction, given) => ask(submission(parseGid(gid), transaction, given), given),
    abort: async (gid, reason, given) =>
      ask({ do: 'abort', gid: parseGid(gid), ...(reason === undefined ? {} : { reason }) }, given),
    registerBranch: async (gid, mode, branch, given) =>
      ask(
        withoutAbsent<RegisterBranchOperation>({
          do: 'registerBranch',
          gid: parseGid(gid),
          mode,
          branch,
          ended: given?.ended,
        }),
        given,
      ),
    query: async (gid, given) => ask({ do: 'query', gid: parseGid(gid), ...waiting(given) }, given),
    async submitSaga(saga, { gid, ...given } = {}) {
      return ask(submission(gid === undefined ? drawGid() : parseGid(gid), checkSaga(saga), given), given)
    },
    async close() {
      await queue.close()
      connection.close()
    },
  }
}

function submission(gid: Gid, transaction?: TransactionDefinition, given?: WaitOptions): SubmitOperation {
  return withoutAbsent<SubmitOperation>({ do: 'submit', gid, transaction, waitMs: waiting(given).waitMs })
}

function waiting(given: WaitOptions = {}): { readonly waitMs?: number } {
  const waitMs = within('waitMs', given.waitMs, 0, LIMITS.waitMs, 0)
  return waitMs === 0 ? {} : { waitMs }
}

function checkSaga(saga: TransactionDefinition): TransactionDefinition {
  try {
    return readDefinition(saga, '')
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    throw new PostcommitError('POSTCOMMIT_INVALID_TRANSACTION', { mode: 'saga', problems: error.message })
  }
}

function accepted(answer: OperationAnswer): TransactionAnswer {
  if (answer.outcome === 'refused') throw refusalError(answer)
  return answer
}

function refusalError({ gid, code, message, status }: Refusal): PostcommitError {
  switch (code) {
    case 'POSTCOMMIT_GID_CONFLICT':
      return new PostcommitError(code, { gid }, { gid })
    case 'POSTCOMMIT_UNKNOWN_TRANSACTION':
      return new PostcommitError(code, { gid }, { gid })
    case 'POSTCOMMIT_TRANSACTION_DECIDED':
      return new PostcommitError(code, { gid, status: status ?? 'decided' }, { gid })
    default:
      return new PostcommitError('POSTCOMMIT_RELAY_REFUSED', { reason: `${message} (${code})` }, { gid })
  }
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw invalidOptions('url is not an http or https URL')
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw invalidOptions('url has a user, a query or a fragment; a key goes into apiKey')
  }
  // With the slash a base path stays when the operation's path is added.
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

function parseApiKey(key: string | undefined): string | undefined {
  if (key === undefined || /^[\x21-\x7e]{1,512}$/.test(key)) return key
  // Without the key itself.
  throw invalidOptions('apiKey is not 1 to 512 visible ASCII characters')
}

function within(name: string, value: number | undefined, least: number, most: number, byDefault: number): number {
  if (value === undefined) return byDefault
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw invalidOptions(`${name} is ${value}, not an integer from ${least} to ${most}`)
}

function invalidOptions(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'createRelayClient', reason })
}
