import type { BranchOp } from 'postcommit/protocol'
import type { CallOutcome } from '../../../relay/engine/transaction/record-outcome.ts'
import type { CheckOutcome } from '../../../relay/engine/transaction/record-verdict.ts'

/** Who asked: a relay by its number, under the claim it held then, or the initiator. */
export interface Caller {
  readonly relay: number | 'initiator'
  readonly token: number
}

export type Request =
  | {
      readonly kind: 'call'
      readonly from: Caller
      readonly branch: string
      readonly op: BranchOp
      readonly payload: string
    }
  | { readonly kind: 'ask'; readonly from: Caller }
  | { readonly kind: 'resume'; readonly from: Caller }

export type Reply =
  | {
      readonly kind: 'result'
      readonly to: Caller
      readonly branch: string
      readonly op: BranchOp
      readonly outcome: CallOutcome
    }
  | { readonly kind: 'verdict'; readonly to: Caller; readonly outcome: CheckOutcome }

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
