import { formatDuration } from '../operators/duration.ts'
import type { ShownTransaction } from '../operators/read-transactions.ts'
import { formatTable, shorten } from './shell/table.ts'

/** A transaction for people: how it stands, what became of each call, what went wrong, who did what. */
export function describeStory(story: ShownTransaction, explanation?: string): readonly string[] {
  const [title = '', ...facts] = describeHead(story)
  const said = explanation === undefined ? [] : [`  ${shorten(explanation, 1000)}`]
  return [title, ...said, ...facts, ...describeBranches(story), ...describeAttempts(story)]
}

function describeHead(story: ShownTransaction): readonly string[] {
  const { gid, tenant, mode, status, asked, reason, pausedReason, backQuery, key, lastError, unreachableSince } = story
  const { createdAt, finishedAt, dueAt } = story
  const facts: [string, string | undefined][] = [
    ['tenant', tenant === '' ? undefined : tenant],
    ['key', key ?? undefined],
    ['reason', reason ?? undefined],
    ['paused', pausedReason ?? undefined],
    ['back-query', backQuery?.target],
    ['asked in vain', asked === 0 ? undefined : String(asked)],
    ['unreachable', unreachableSince === null ? undefined : `since ${unreachableSince.toISOString()}`],
    ['last error', lastError ?? undefined],
    ['submitted', createdAt.toISOString()],
    ['ended', finishedAt === null ? undefined : `after ${formatDuration(finishedAt.getTime() - createdAt.getTime())}`],
    ['due', dueAt?.toISOString()],
  ]
  const rows = facts.flatMap(([name, value]) => (value === undefined ? [] : [[name, shorten(value, 120)]]))
  return [`${shorten(gid, 140)}  ${mode}, ${status}`, ...formatTable(rows, '  ')]
}

function describeBranches({ branches }: ShownTransaction): readonly string[] {
  if (branches.length === 0) return ['  no branches']
  const rows = branches.map((branch) => [
    shorten(branch.branch, 40),
    branch.op,
    branch.status === 'prepared' && branch.calls > 0 ? 'called' : branch.status,
    shorten(branch.target, 60),
    String(branch.calls),
    String(branch.attempts),
    shorten(branch.lastError ?? '-', 60),
  ])
  return ['', ...formatTable([['BRANCH', 'OP', 'STATUS', 'TARGET', 'CALLS', 'FAILED', 'LAST ERROR'], ...rows], '  ')]
}

function describeAttempts({ attempts }: ShownTransaction): readonly string[] {
  if (attempts.length === 0) return []
  const rows = attempts.map(({ at, event, branch, op, status, detail, actor }) => [
    at.toISOString(),
    event,
    branch === null ? '-' : shorten(`${branch} ${op ?? ''}`.trim(), 40),
    status === null ? '-' : String(status),
    shorten(detail ?? '-', 60),
    shorten(actor, 40),
  ])
  return ['', ...formatTable([['AT', 'EVENT', 'BRANCH', 'HTTP', 'DETAIL', 'BY'], ...rows], '  ')]
}
