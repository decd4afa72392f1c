import type { TransactionDefinition } from 'postcommit'
import { saga } from 'postcommit/transactions'

/** Money that goes from an account in the north to one in the south. */
export interface Transfer {
  readonly from: string
  readonly to: string
  readonly amount: number
}

/** A transfer as a saga: out of the one bank, into the other one, each with what takes it back. */
export function transferSaga(data: Transfer): TransactionDefinition {
  return saga('transfer', { retry: { baseMs: 50, capMs: 500 } })
    .step('out', { do: 'north/TransOut', undo: 'north/TransOutRevert', data })
    .step('in', { do: 'south/TransIn', undo: 'south/TransInRevert', data })
    .define()
}
