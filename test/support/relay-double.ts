import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  answerOf,
  BATCH_PATH,
  digestDefinition,
  type ErrorCode,
  type Gid,
  type OperationAnswer,
  PostcommitError,
  parseBatch,
  parseSigningSecret,
  parseVerdict,
  type Refusal,
  SIGNATURE_HEADERS,
  signCall,
  type TransactionDefinition,
  type TransactionOperation,
  type TransactionStatus,
  type Verdict,
} from 'postcommit/protocol'

/** What the double does to a request instead of answering it as the protocol says. */
export type Mischief =
  /** The connection dies before anything of it is done. */
  | 'lose-request'
  /** It is done, and the connection dies before the answer. */
  | 'lose-answer'
  /** Nothing is done and nothing answered. */
  | 'hang'
  | { readonly status: number; readonly body?: string; readonly headers?: Readonly<Record<string, string>> }
  | { readonly refuse: (operation: TransactionOperation) => Refusal | undefined }

/** A request as it came in. */
export interface BatchRequest {
  readonly headers: IncomingHttpHeaders
  readonly operations: readonly TransactionOperation[]
}

/** A transaction as the double knows it. */
export interface KnownTransaction {
  status: TransactionStatus
  readonly digest: string
  definition: TransactionDefinition
  /** What the newest registration says has ended. */
  ended?: readonly string[] | undefined
}

/**
 * A double of the relay's transaction interface, for the tests of its client alone: it speaks the protocol and keeps
 * the table of states for messages and sagas in memory. Nothing is delivered; `submitted` is as far as it goes.
 */
export interface RelayDouble {
  readonly url: string
  readonly requests: readonly BatchRequest[]
  readonly transactions: ReadonlyMap<string, KnownTransaction>
  /** Decides about every request to come; undefined answers it. */
  misbehave(how: (request: BatchRequest, n: number) => Mischief | Promise<Mischief | undefined> | undefined): void
  /** Ends a transaction, as a relay that has carried it out. */
  finish(gid: string, status: 'succeed' | 'failed'): void
  /** Asks the back-query of a prepared transaction once and does what the verdict says. */
  settle(gid: string, secret?: string): Promise<Verdict | undefined>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a double on 127.0.0.1. */
export async function relayDouble({ apiKey }: { readonly apiKey?: string } = {}): Promise<RelayDouble> {
  const requests: BatchRequest[] = []
  const transactions = new Map<string, KnownTransaction>()
  let mischief: Parameters<RelayDouble['misbehave']>[0] = () => undefined

  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    if (apiKey !== undefined && request.headers.authorization !== `Bearer ${apiKey}`) return end(response, 401, '')
    if (request.method !== 'POST' || !request.url?.endsWith(BATCH_PATH)) return end(response, 404, '')
    let operations: readonly TransactionOperation[]
    try {
      operations = parseBatch(Buffer.concat(chunks).toString('utf8'))
    } catch (error) {
      return end(response, 400, error instanceof PostcommitError ? error.message : '')
    }
    const received = { headers: request.headers, operations }
    requests.push(received)
    const what = await mischief(received, requests.length)
    if (what === 'hang') return
    if (what === 'lose-request') return void response.destroy()
    if (typeof what === 'object' && 'status' in what) return end(response, what.status, what.body ?? '', what.headers)
    const refuse = typeof what === 'object' ? what.refuse : () => undefined
    const results = operations.map((operation) => refuse(operation) ?? carryOut(transactions, operation))
    if (what === 'lose-answer') return void response.destroy()
    end(response, 200, JSON.stringify({ results }))
  }
  const server = createServer((request, response) => {
    receive(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    transactions,
    misbehave(how) {
      mischief = how
    },
    finish(gid, status) {
      const known = transactions.get(gid)
      if (known !== undefined) known.status = status
    },
    async settle(gid, secret) {
      const known = transactions.get(gid)
      if (known?.status !== 'prepared') throw new Error(`${gid} is ${known?.status ?? 'unknown'}, not prepared`)
      const verdict = await askBackQuery(gid as Gid, known.definition, secret)
      if (verdict === 'committed') known.status = 'submitted'
      if (verdict === 'aborted') known.status = 'failed'
      return verdict
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** The table of states, for what the client can ask. */
function carryOut(transactions: Map<string, KnownTransaction>, operation: TransactionOperation): OperationAnswer {
  const { gid } = operation
  const known = transactions.get(gid)
  switch (operation.do) {
    case 'prepare':
      return announce(transactions, gid, operation.transaction, 'prepared')
    case 'submit':
      if (known === undefined || operation.transaction !== undefined) {
        if (operation.transaction === undefined) return refusal(gid, 'POSTCOMMIT_UNKNOWN_TRANSACTION')
        return announce(transactions, gid, operation.transaction, 'submitted')
      }
      return advance(gid, known, 'submitted')
    case 'abort':
      if (known === undefined) return refusal(gid, 'POSTCOMMIT_UNKNOWN_TRANSACTION')
      return advance(gid, known, 'failed')
    case 'query':
      return known === undefined ? refusal(gid, 'POSTCOMMIT_UNKNOWN_TRANSACTION') : answerOf(gid, known.status)
    case 'registerBranch': {
      if (known === undefined) return refusal(gid, 'POSTCOMMIT_UNKNOWN_TRANSACTION')
      if (known.status !== 'prepared') return refusal(gid, 'POSTCOMMIT_TRANSACTION_DECIDED', known.status)
      const { branches } = known.definition
      const others = branches.filter(({ branch }) => branch !== operation.branch.branch)
      known.definition = { ...known.definition, branches: [...others, operation.branch] }
      known.ended = operation.ended
      return answerOf(gid, known.status)
    }
  }
}

function announce(
  transactions: Map<string, KnownTransaction>,
  gid: Gid,
  definition: TransactionDefinition,
  status: 'prepared' | 'submitted',
): OperationAnswer {
  const digest = digestDefinition(definition)
  const known = transactions.get(gid)
  if (known === undefined) {
    transactions.set(gid, { status, digest, definition })
    return answerOf(gid, status)
  }
  if (status === 'prepared' && known.status !== 'prepared') {
    return refusal(gid, 'POSTCOMMIT_TRANSACTION_DECIDED', known.status)
  }
  if (known.digest !== digest) return refusal(gid, 'POSTCOMMIT_GID_CONFLICT')
  // The last attempt is the one that can still commit.
  known.definition = definition
  return status === 'prepared' ? answerOf(gid, known.status) : advance(gid, known, status)
}

function advance(gid: Gid, known: KnownTransaction, to: 'submitted' | 'failed'): OperationAnswer {
  if (known.status === 'prepared') known.status = to
  const forward = known.status === 'submitted' || known.status === 'succeed'
  return forward === (to === 'submitted')
    ? answerOf(gid, known.status)
    : refusal(gid, 'POSTCOMMIT_TRANSACTION_DECIDED', known.status)
}

function refusal(gid: Gid, code: ErrorCode, status?: TransactionStatus): Refusal {
  return { outcome: 'refused', gid, code, message: code, retryable: false, ...(status === undefined ? {} : { status }) }
}

async function askBackQuery(
  gid: Gid,
  { backQuery }: TransactionDefinition,
  secret: string | undefined,
): Promise<Verdict | undefined> {
  if (backQuery === undefined || !('url' in backQuery.target)) throw new Error(`${gid} has no URL to ask at`)
  const nonce = randomBytes(16).toString('base64url')
  const question = { gid, nonce, ...(backQuery.hint === undefined ? {} : { hint: backQuery.hint }) }
  const body = JSON.stringify(question)
  const seconds = Math.floor(Date.now() / 1000)
  const signature = secret === undefined ? '' : signCall([parseSigningSecret(secret)], nonce, seconds, body)
  const response = await fetch(backQuery.target.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      [SIGNATURE_HEADERS.id]: nonce,
      [SIGNATURE_HEADERS.timestamp]: String(seconds),
      [SIGNATURE_HEADERS.signature]: signature,
    },
    body,
  })
  const text = await response.text()
  return response.status === 200 ? parseVerdict(text, question) : undefined
}

function end(response: ServerResponse, status: number, body: string, headers: Readonly<Record<string, string>> = {}) {
  response.writeHead(status, headers).end(body)
}
