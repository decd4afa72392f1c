import { formatDuration } from './duration.ts'
import type { ShownTransaction } from './read-transactions.ts'

/** Where a transaction stands and, if it has not ended, what it waits for: one sentence for a person. */
export function explainTransaction(story: ShownTransaction): string {
  const { status, reason, pausedReason, branches, createdAt, finishedAt } = story
  const tookMs = finishedAt === null ? 0 : finishedAt.getTime() - createdAt.getTime()
  if (pausedReason !== null && finishedAt === null) return `Paused by a person: ${pausedReason}`
  switch (status) {
    case 'prepared':
      return explainUndecided(story)
    case 'submitted':
    case 'aborting': {
      const doing = status === 'submitted' ? 'Going forward' : `Being undone${because(reason)}`
      const failing = branches.find(({ lastError: error, finishedAt: ended }) => error !== null && ended === null)
      if (failing === undefined) return `${doing}.`
      const { branch, op, target, attempts, lastError: error } = failing
      return `${doing}: ${op} of ${branch} at ${target} has failed ${attempts} times, last: ${error}.`
    }
    case 'succeed':
      return `Done ${formatDuration(tookMs)} after it was submitted.`
    case 'failed':
      return `Given up${because(reason)}, ${formatDuration(tookMs)} after it was submitted; what had taken effect was undone, unless an operator ended it.`
  }
}

function explainUndecided(story: ShownTransaction): string {
  const { gid, inDoubt, asked, unreachableSince, backQuery, lastError } = story
  if (backQuery === null) return 'Not decided: its initiator has neither submitted it nor given it up.'
  const { target } = backQuery
  if (!inDoubt)
    return `Not decided: the service has neither submitted nor aborted it; ${target} is asked when its time comes.`
  const ifNever = `If it never will: postcommit transaction resolve ${gid}`
  if (unreachableSince !== null) {
    const why = because(lastError?.replace(/^unreachable: /, '') ?? null)
    return `In doubt: ${target} has not answered since ${unreachableSince.toISOString()}${why}; it is asked as soon as it answers. ${ifNever}`
  }
  if (asked === 0) return `In doubt: its time has come, and ${target} is asked next${because(lastError)}. ${ifNever}`
  return `In doubt: ${target} was asked ${asked} times and has decided nothing${because(lastError)}. ${ifNever}`
}

function because(reason: string | null): string {
  return reason === null || reason === '' ? '' : ` (${reason})`
}
