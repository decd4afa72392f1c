import { type BranchCall, OP_HEADER, parseBranchCallId } from '../protocol/branch-call.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { ENVELOPE, type MessageHeaders } from '../protocol/headers.ts'
import { SIGNATURE_HEADERS } from '../protocol/webhook-signature.ts'
import { type CommonHandlerOptions, commonReception, type DeliveryHandler, listeners } from './handler.ts'
import { readOccasion } from './read-call.ts'
import { type Received, receiveCall } from './receive-call.ts'

/** A call of a branch as its handler sees it; `barrierFrom(call)` gives the barrier of it. */
export interface BranchDelivery<Payload = unknown> extends BranchCall, Received<Payload> {
  /** Unique for ever and the same at every attempt. */
  readonly id: string
  /** The ordering key, where there is one. */
  readonly key: string | undefined
  /** 1 for the first attempt. */
  readonly attempt: number
}

/** What {@link branchHandler} takes. */
export interface BranchHandlerOptions<Payload> extends CommonHandlerOptions<Payload> {
  /** Takes effect of a call. Returns: done, now or before. Throws: it is called again, unless it is a refusal. */
  readonly handle: (call: BranchDelivery<Payload>) => unknown
}

/**
 * Receives the relay's calls of branches of a saga, or of messages, at one path: verifies the signature, which covers
 * gid, branch, op and body, and runs `handle`.
 *
 * Answers 204 when `handle` returns; 409, which turns a saga back, on {@link DeliveryRefused}; 425 on
 * `POSTCOMMIT_BRANCH_IN_PROGRESS`, which the barrier throws while another call of the branch is at work; 503 on
 * {@link DeliveryPostponed}, 500 without details on anything else. 401, 400, 405, 413 and 415 as {@link handler} does.
 * A call may come several times, late, or only as its compensation: the barrier sees to that.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_INVALID_SECRET`.
 * @example
 * ```ts
 * const stock = branchHandler({
 *   secrets: [stockSecret],
 *   schema: z.object({ sku: z.string() }),
 *   async handle(call) {
 *     const by = call.op === 'action' ? -1 : 1
 *     await barrierFrom(call).call(pool, async (tx) => {
 *       const { rowCount } = await tx.query('update stock set n = n + $1 where sku = $2 and n + $1 >= 0', [by, call.payload.sku])
 *       if (rowCount === 0) throw new DeliveryRefused('sold out')
 *     })
 *   },
 * })
 * app.post('/stock', stock.node) // hono: app.post('/stock', (c) => stock.fetch(c.req.raw))
 * ```
 */
export function branchHandler<Payload = unknown>(options: BranchHandlerOptions<Payload>): DeliveryHandler {
  const reception = {
    ...commonReception(options, 'branchHandler'),
    envelope: readBranchEnvelope,
    async run(call: BranchDelivery<Payload>) {
      // Who it is for is under the signature; whoever reads the headers instead finds the same there.
      const named = { [ENVELOPE.gid]: call.gid, [ENVELOPE.branch]: call.branch, [OP_HEADER]: call.op }
      await options.handle({ ...call, headers: { ...call.headers, ...named } })
      return false
    },
    refused: 409 as const,
  }
  return listeners((call) => receiveCall(reception, call))
}

/** As of a message: what is signed counts, and the plain headers are only compared. */
function readBranchEnvelope(headers: MessageHeaders): Omit<BranchDelivery, keyof Received<unknown>> {
  const id = headers[SIGNATURE_HEADERS.id] ?? invalid(`${SIGNATURE_HEADERS.id} is missing`)
  const named = parseBranchCallId(id) ?? invalid(`${SIGNATURE_HEADERS.id} names no branch`)
  const { gid, branch, op } = named
  const compared = { [ENVELOPE.gid]: gid, [ENVELOPE.branch]: branch, [OP_HEADER]: op }
  for (const [name, value] of Object.entries(compared)) {
    if ((headers[name] ?? value) !== value) invalid(`${name} names another call than ${SIGNATURE_HEADERS.id}`)
  }
  return { id, gid, branch, op, ...readOccasion(headers) }
}

function invalid(reason: string): never {
  throw new PostcommitError('POSTCOMMIT_INVALID_DELIVERY', { reason })
}
