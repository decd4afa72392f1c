import type { DeliveryState } from 'postcommit/protocol'

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
}
