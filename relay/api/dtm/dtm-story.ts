import { readStoredOptions } from '../../coordinator/stored/stored-options.ts'
import type { Queryable } from '../../store/queryable.ts'
import { selectTopics } from '../../store/topic/select-topics.ts'
import type { BranchStory } from '../../store/transaction/branch-story.ts'
import { selectTransaction } from '../../store/transaction/select-transaction.ts'
import { selectTransactionPage, type WholeTransaction } from '../../store/transaction/select-transaction-page.ts'
import type { Fields } from './trans-request.ts'

/** Which transactions a page is of. */
export interface DtmPage {
  readonly gid: string
  readonly position: string
  readonly limit: number
  readonly status: string
  readonly transType: string
  readonly createdFromMs: number | undefined
  readonly createdUntilMs: number | undefined
}

const TOPIC = 'topic://'

/** What DTM tells about transactions. */
export class DtmStory {
  readonly #client: Queryable
  readonly #tenant: string

  constructor(client: Queryable, tenant: string) {
    this.#client = client
    this.#tenant = tenant
  }

  /** One transaction with its branches; `null` and none, if there is no such gid. */
  async query(gid: string): Promise<Fields> {
    const tenant = this.#tenant
    const story = await selectTransaction(this.#client, { tenant, gid })
    if (story === undefined) return { transaction: null, branches: [] }
    const branches = await this.#expanded(story.branches)
    return {
      transaction: transactionFields(story),
      branches: branches.map((branch, index) => branchFields(gid, branch, index)),
    }
  }

  /** A page of transactions, the newest first. */
  async page({ gid, position, limit, status, transType, createdFromMs, createdUntilMs }: DtmPage): Promise<Fields> {
    const tenant = this.#tenant
    if (gid !== '') {
      const found = await selectTransactionPage(this.#client, { tenant, gid }, 1)
      return { transactions: found.length === 0 ? null : found.map(transactionFields), next_position: position }
    }
    const filter = { tenant, status: status || undefined, mode: transType || undefined, before: position || undefined }
    const rows = await selectTransactionPage(this.#client, { ...filter, createdFromMs, createdUntilMs }, limit)
    return {
      transactions: rows.map(transactionFields),
      next_position: rows.length < limit ? '' : (rows.at(-1)?.id ?? ''),
    }
  }

  /**
   * Branches as DTM's tables show them: one for each address that a topic stands for. What has not run yet is shown
   * with the addresses of now; the branch that a topic was handed in as is not shown beside those it became.
   */
  async #expanded(branches: readonly BranchStory[]): Promise<readonly BranchStory[]> {
    const shown = branches.filter(({ target, branch, after }) => !(target === '' && after?.includes(`${branch}-01`)))
    const names = shown.flatMap(({ target }) => (target.startsWith(TOPIC) ? [target.slice(TOPIC.length)] : []))
    if (names.length === 0) return shown
    const topics = await selectTopics(this.#client, this.#tenant, { names, limit: names.length })
    return shown.flatMap((branch) => {
      const topic = topics.find(({ name }) => branch.target === TOPIC + name)
      if (topic === undefined || topic.targets.length === 0) return [branch]
      return topic.targets.map(({ target }, index) => {
        const number = topic.targets.length === 1 ? '' : `-${String(index + 1).padStart(2, '0')}`
        return { ...branch, target, branch: branch.branch + number }
      })
    })
  }
}

function transactionFields(row: WholeTransaction): Fields {
  const { dtm = {}, ongoingMs = 0 } = readStoredOptions(row.options)
  return {
    ...present({
      id: Number(row.id),
      create_time: row.createdAt.toISOString(),
      update_time: row.updatedAt.toISOString(),
      gid: row.gid,
      trans_type: row.mode,
      status: row.status,
      query_prepared: row.checkTarget,
      protocol: row.protocol,
      finish_time: row.status === 'succeed' ? row.finishedAt?.toISOString() : undefined,
      rollback_time: row.status === 'failed' ? row.finishedAt?.toISOString() : undefined,
      result: row.result,
      rollback_reason: row.rollbackReason,
      options: Object.keys(dtm).length === 0 ? undefined : JSON.stringify({ concurrent: false, ...dtm }),
      custom_data: row.customData,
      next_cron_interval: Math.round((row.backoffMs ?? ongoingMs) / 1000),
      next_cron_time: row.dueAt?.toISOString(),
      owner: row.leaseOwner,
      ext_data: row.extData,
    }),
    // Not left out when it is false, at DTM neither.
    concurrent: false,
  }
}

function branchFields(gid: string, branch: BranchStory, index: number): Fields {
  const { op, status, target, payload, body, createdAt, updatedAt, finishedAt } = branch
  const content = payload === null ? body : Buffer.from(payload)
  return present({
    id: index + 1,
    create_time: createdAt.toISOString(),
    update_time: updatedAt.toISOString(),
    gid,
    url: target,
    bin_data: content?.toString('base64'),
    branch_id: branch.branch,
    op,
    status,
    finish_time: finishedAt?.toISOString(),
  })
}

/** Leaves out what DTM leaves out: everything empty. */
function present(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== '' && value !== 0),
  )
}
