import type { BranchOp } from 'postcommit/protocol'
import type { CallOutcome } from '../../../relay/engine/transaction/record-outcome.ts'
import type { CheckOutcome } from '../../../relay/engine/transaction/record-verdict.ts'

/** What a service says. */
export type Said =
  | { readonly kind: 'result'; readonly branch: string; readonly outcome: CallOutcome }
  | { readonly kind: 'verdict'; readonly outcome: CheckOutcome }

/** A request on its way. */
export interface Request {
  readonly what:
    | { readonly kind: 'call'; readonly branch: string; readonly op: BranchOp; readonly payload: string }
    | { readonly kind: 'ask' }
  /** Where the answer goes, if it gets there. */
  readonly answer: (said: Said) => void
}

/** An answer on its way. */
export interface Reply {
  readonly said: Said
  readonly answer: (said: Said) => void
}

/** Everything that is under way. It keeps no order, loses what it is told to lose, and doubles what it is told to. */
export class Network {
  readonly requests: Request[] = []
  readonly replies: Reply[] = []

  takeRequest(choice: number): Request | undefined {
    return take(this.requests, choice)
  }

  takeReply(choice: number): Reply | undefined {
    return take(this.replies, choice)
  }

  doubleRequest(choice: number): void {
    const request = this.requests[choice % Math.max(1, this.requests.length)]
    if (request !== undefined && this.requests.length < 12) this.requests.push(request)
  }
}

function take<T>(from: T[], choice: number): T | undefined {
  return from.splice(choice % Math.max(1, from.length), 1)[0]
}
