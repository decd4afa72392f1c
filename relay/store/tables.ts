import type { DeliveryState } from 'postcommit/protocol'
import type { Mode, Status } from '../engine/transaction/transaction.ts'
import type { RunBy } from './transaction/transaction-row.ts'

/** The tables that composed queries read, as Kysely sees them. A test compares them with the migrations. */
export interface Tables {
  'postcommit.outbox': {
    readonly id: string
    readonly gid: string
    readonly branch: number
    readonly topic: string
    readonly key: string | null
    readonly slot: number
    readonly created_at: Date
  }
  'postcommit.delivery': {
    readonly id: string
    readonly gid: string
    readonly branch: number
    readonly destination: string
    readonly target: string
    readonly key: string | null
    readonly state: DeliveryState
    readonly due_at: Date
    readonly attempts: number
    readonly lease_owner: string | null
    readonly lease_until: Date | null
    readonly last_error: string | null
    readonly last_status: number | null
    readonly created_at: Date
    readonly settled_at: Date | null
  }
  'postcommit.global_transaction': {
    readonly id: string
    readonly tenant: string
    readonly gid: string
    readonly mode: Mode
    readonly status: Status
    readonly run_by: RunBy
    readonly rollback_reason: string | null
    readonly asked: number
    readonly check_destination: string
    readonly last_error: string | null
    readonly lease_owner: string | null
    readonly paused_reason: string | null
    readonly due_at: Date
    readonly created_at: Date
    readonly updated_at: Date
    readonly finished_at: Date | null
  }
  'postcommit.check_outage': {
    readonly destination: string
    readonly since: Date
    readonly last_error: string
  }
}
