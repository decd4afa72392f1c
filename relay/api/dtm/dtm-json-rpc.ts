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

/** Answers a request of JSON-RPC as DTM does: always with 200, and with `error` if anything went wrong. */
export async function answerJsonRpc(body: unknown, options: JsonRpcOptions): Promise<Fields> {
  let id = ''
  const refuse = (code: number, message: string) => ({ jsonrpc: '2.0', id, error: { code, message }, result: null })
  let fields: Fields
  try {
    fields = readFields(JSON.parse(typeof body === 'string' ? body : '') as unknown)
    if (
      ![fields['id'], fields['method'], fields['jsonrpc']].every((value) =>
        ['string', 'undefined'].includes(typeof value),
      )
    ) {
      throw new DtmError('id, method or jsonrpc is not a string')
    }
  } catch (error) {
    return refuse(CODES.parse, `Parse json error: ${error instanceof Error ? error.message : ''}`)
  }
  const { id: given = '', method = '', jsonrpc } = fields
  id = String(given)
  if (id === '' || jsonrpc !== '2.0') return refuse(CODES.request, `Bad json request: ${JSON.stringify(fields)}`)
  const carryOut = methodsOf(options)[String(method)]
  if (carryOut === undefined) return refuse(CODES.method, `Method not found: ${String(method)}`)
  try {
    return { jsonrpc: '2.0', id, error: null, result: (await carryOut(fields['params'])) ?? null }
  } catch (error) {
    const isFailure = error instanceof DtmError && error.kind === 'failure'
    return refuse(isFailure ? CODES.failure : CODES.internal, error instanceof Error ? error.message : String(error))
  }
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
