import { DtmError } from './dtm-error.ts'
import type { DtmTransactions } from './dtm-transactions.ts'
import { newGid } from './new-gid.ts'
import { type Fields, readFields, readStrings, readTransRequest } from './trans-request.ts'

/** What DTM's JSON-RPC leads to. */
export interface JsonRpcOptions {
  /** @throws DtmError while there are none. */
  readonly served: () => { readonly transactions: DtmTransactions }
  readonly strict: boolean
}

const CODES = { parse: -32700, request: -32600, method: -32601, internal: -32603, failure: -32901 } as const

/** An answer of JSON-RPC, and the status that goes with it. */
export interface JsonRpcReply {
  readonly status: 200 | 400
  readonly answer: Fields
}

/** Answers a request of JSON-RPC as DTM does: with 400 if it cannot be read, otherwise with 200, whatever went wrong. */
export async function answerJsonRpc(body: unknown, options: JsonRpcOptions): Promise<JsonRpcReply> {
  let fields: Fields
  try {
    fields = readRequest(body)
  } catch (error) {
    const message = `Parse json error: ${error instanceof Error ? error.message : ''}`
    return { status: 400, answer: refusal('', CODES.parse, message) }
  }
  return { status: 200, answer: await carryOutRequest(fields, options) }
}

function readRequest(body: unknown): Fields {
  const fields = readFields(JSON.parse(typeof body === 'string' ? body : '') as unknown)
  for (const name of ['id', 'method', 'jsonrpc']) {
    if (!['string', 'undefined'].includes(typeof fields[name])) throw new DtmError(`${name}: not a string`)
  }
  return fields
}

async function carryOutRequest(fields: Fields, options: JsonRpcOptions): Promise<Fields> {
  const { id: given = '', method = '', jsonrpc } = fields
  const id = String(given)
  if (id === '' || jsonrpc !== '2.0') return refusal(id, CODES.request, `Bad json request: ${JSON.stringify(fields)}`)
  const carryOut = methodsOf(options)[String(method)]
  if (carryOut === undefined) return refusal(id, CODES.method, `Method not found: ${String(method)}`)
  try {
    return { jsonrpc: '2.0', id, error: null, result: (await carryOut(fields['params'])) ?? null }
  } catch (error) {
    const isFailure = error instanceof DtmError && error.kind === 'failure'
    const message = error instanceof Error ? error.message : String(error)
    return refusal(id, isFailure ? CODES.failure : CODES.internal, message)
  }
}

function refusal(id: string, code: number, message: string): Fields {
  return { jsonrpc: '2.0', id, error: { code, message }, result: null }
}

function methodsOf({
  served,
  strict,
}: JsonRpcOptions): Readonly<Record<string, (params: unknown) => Promise<unknown>>> {
  const trans = (params: unknown) => readTransRequest(params, strict)
  return {
    newGid: async () => ({ gid: newGid() }),
    prepare: async (params) => await served().transactions.prepare(trans(params)),
    submit: async (params) => await served().transactions.submit(trans(params)),
    abort: async (params) => await served().transactions.abort(trans(params)),
    registerBranch: async (params) => await served().transactions.registerBranch(readStrings(params)),
  }
}
