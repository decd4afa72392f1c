import type { ShownTransaction } from '../operator/read-transactions.ts'
import { formatDuration } from './duration.ts'

/** Where a transaction stands and, if it has not ended, what it waits for: one sentence for a person. */
export function explainTransaction(story: ShownTransaction): string {
  const { gid, status, inDoubt, asked, reason, pausedReason, backQuery, lastError, branches, createdAt, finishedAt } =
    story
  const tookMs = finishedAt === null ? 0 : finishedAt.getTime() - createdAt.getTime()
  if (pausedReason !== null && finishedAt === null) return `Paused by a person: ${pausedReason}`
  switch (status) {
    case 'prepared': {
      if (backQuery === null) return 'Not decided: its initiator has neither submitted it nor given it up.'
      if (!inDoubt)
        return `Not decided: nobody has submitted it or given it up; ${backQuery.target} is asked when its time comes.`
      const last = lastError === null ? '' : ` (${lastError})`
      return `In doubt: ${backQuery.target} was asked ${asked} times and has decided nothing${last}. If it never will: postcommit transaction resolve ${gid}`
    }
    case 'submitted':
    case 'aborting': {
      const doing = status === 'submitted' ? 'Going forward' : `Being undone${because(reason)}`
      const failing = branches.find(({ lastError: error, finishedAt: ended }) => error !== null && ended === null)
      if (failing === undefined) return `${doing}.`
      const { branch, op, target, attempts, lastError: error } = failing
      return `${doing}: ${op} of ${branch} at ${target} has failed ${attempts} times, last: ${error}.`
    }
    case 'succeed':
      return `Done ${formatDuration(tookMs)} after it was handed in.`
    case 'failed':
      return `Given up${because(reason)}, ${formatDuration(tookMs)} after it was handed in; what had taken effect was undone, unless a person ended it.`
  }
}

function because(reason: string | null): string {
  return reason === null || reason === '' ? '' : ` (${reason})`
}
