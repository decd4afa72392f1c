import { BranchOp } from 'postcommit/protocol'
import type { Destination } from '../../../relay/destinations/destination.ts'
import type { CallAnswer } from '../../../relay/engine/call-answer.ts'
import type { Line } from '../world/simulated-pool.ts'
import { SERVICE } from './tables.ts'

/** A message or a question on its way, for as long as it likes. `answer` tells whether it was heard, and in time. */
export type Request =
  | {
      readonly kind: 'message'
      readonly gid: string
      readonly branch: number
      readonly key: string | undefined
      readonly answer: (answer: CallAnswer) => boolean
    }
  | { readonly kind: 'question'; readonly gid: string; readonly answer: (verdict: string) => boolean }

export const ATTEMPTS_MAX = 3
export const CONCURRENCY = 2
const TIMEOUT_MS = 1500

/** The service as one process of a relay calls it. `onCall` is told of each, and how many are under way. */
export function serviceOver(
  requests: Request[],
  line: Line,
  onCall: (underWay: number, name: string) => void,
): Destination {
  let underWay = 0
  const exchange = (
    name: string,
    signal: AbortSignal,
    send: (answer: (said: CallAnswer) => boolean) => void,
  ): Promise<CallAnswer> => {
    underWay += 1
    onCall(underWay, name)
    const late: CallAnswer = { kind: 'unanswered', result: 'failed', error: 'no answer in time' }
    const said = new Promise<CallAnswer>((resolve) => {
      let isOver = false
      const end = (what: CallAnswer): boolean => {
        const isHeard = !isOver && !line.isCut
        isOver = true
        resolve(what)
        return isHeard
      }
      setTimeout(() => end(late), TIMEOUT_MS)
      signal.addEventListener('abort', () => end(late))
      if (!line.isCut) send((answer) => !line.isCut && end(answer))
    })
    return said.finally(() => {
      underWay -= 1
    })
  }
  return {
    name: SERVICE,
    concurrency: CONCURRENCY,
    timeoutMs: TIMEOUT_MS,
    attemptsMax: ATTEMPTS_MAX,
    permanentAttemptsMax: ATTEMPTS_MAX,
    backOff: { baseMs: 200, capMs: 2000 },
    close: async () => undefined,
    call: ({ gid, number: branch, key, op, content }, signal) => {
      if (op === BranchOp.Action) {
        return exchange(`${gid}:${branch}`, signal, (answer) => {
          requests.push({ kind: 'message', gid, branch, key, answer })
        })
      }
      return exchange(gid, signal, (answer) => {
        const { nonce } = JSON.parse(String(content)) as { readonly nonce: string }
        const body = (outcome: string) => Buffer.from(JSON.stringify({ gid, nonce, outcome }))
        requests.push({
          kind: 'question',
          gid,
          answer: (said) => answer({ kind: 'answered', status: 200, body: body(said) }),
        })
      })
    },
  }
}
