import type { OpStatus, Recovery } from '../../engine/transaction/op.ts'

/** What became of one op. */
export interface BranchStory {
  readonly branch: string
  readonly op: string
  readonly status: OpStatus
  readonly target: string
  readonly payload: string | null
  readonly body: Buffer | null
  readonly after: readonly string[] | null
  readonly recovery: Recovery | null
  readonly startSeq: number | null
  readonly endSeq: number | null
  readonly calls: number
  readonly attempts: number
  readonly lastStatus: number | null
  readonly lastError: string | null
  readonly durationMs: number | null
  readonly result: Buffer | null
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly finishedAt: Date | null
}
