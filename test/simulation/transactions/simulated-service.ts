import type { BranchOp } from 'postcommit/protocol'
import type { Destination } from '../../../relay/destinations/destination.ts'
import type { DestinationCall } from '../../../relay/destinations/destination-call.ts'
import type { CallAnswer } from '../../../relay/engine/call-answer.ts'
import type { CallOutcome } from '../../../relay/engine/transaction/record-outcome.ts'
import type { Line } from '../world/simulated-pool.ts'
import type { Network, Said } from './network.ts'
import { SERVICE } from './stored-rows.ts'

const TIMEOUT_MS = 1500
const CONCURRENCY = 2

/** The service of the branches as one process of a relay calls it: over a network that may take its time for ever. */
export function serviceOver(network: Network, line: Line): Destination {
  return {
    name: SERVICE,
    concurrency: CONCURRENCY,
    timeoutMs: TIMEOUT_MS,
    attemptsMax: Number.POSITIVE_INFINITY,
    permanentAttemptsMax: Number.POSITIVE_INFINITY,
    backOff: { baseMs: 200, capMs: 2000 },
    close: async () => undefined,
    call: (call, signal) =>
      new Promise((resolve) => {
        const late: CallAnswer = { kind: 'unanswered', result: 'failed', error: 'no answer in time' }
        setTimeout(() => resolve(late), call.timeoutMs ?? TIMEOUT_MS)
        signal.addEventListener('abort', () => resolve(late))
        if (line.isCut) return
        network.requests.push({
          what: whatIs(call),
          answer: (said) => {
            if (!line.isCut) resolve(answerOf(said, call))
          },
        })
      }),
  }
}

function whatIs({ op, branch, content }: DestinationCall) {
  if (op === 'msg') return { kind: 'ask' } as const
  return { kind: 'call', branch, op: op as BranchOp, payload: String(JSON.parse(String(content))) } as const
}

function answerOf(said: Said, { gid, content }: DestinationCall): CallAnswer {
  if (said.kind === 'result') return { kind: 'answered', ...answerTo(said.outcome) }
  if (said.outcome === 'unreachable') return { kind: 'unanswered', result: 'away', error: 'nobody is there' }
  const { nonce } = JSON.parse(String(content)) as { readonly nonce: string }
  return { kind: 'answered', status: 200, body: Buffer.from(JSON.stringify({ gid, nonce, outcome: said.outcome })) }
}

function answerTo(outcome: CallOutcome): { readonly status: number; readonly body: Buffer | undefined } {
  switch (outcome.kind) {
    case 'done':
      return { status: 200, body: undefined }
    case 'failure':
      return { status: 409, body: Buffer.from(outcome.error) }
    case 'ongoing':
      return { status: 425, body: undefined }
    case 'retry':
      return { status: 500, body: undefined }
  }
}
