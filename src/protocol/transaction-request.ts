import { branchProblems, NO_BRANCHES } from './definition-problems.ts'
import { PostcommitError } from './errors.ts'
import { type Gid, parseGid } from './gid.ts'
import { LIMITS } from './limits.ts'
import { readBranch, readBranchName, readDefinition } from './read-definition.ts'
import {
  at,
  readInteger,
  readJson,
  readList,
  readObject,
  readOptional,
  readText,
  readWith,
  readWord,
  Unreadable,
  withoutAbsent,
} from './read-json.ts'
import type { BranchDefinition, TransactionDefinition } from './transaction-definition.ts'
import { TransactionMode } from './transaction-state.ts'

/** Where operations are sent; the body is `{ "operations": [ … ] }`. */
export const BATCH_PATH = '/v1/transactions:batch'

/** Announces a transaction that is not decided yet. The same gid and definition again change nothing. */
export interface PrepareOperation {
  readonly do: 'prepare'
  readonly gid: Gid
  readonly transaction: TransactionDefinition
}

/** Decides that a transaction goes forward: a prepared one, or, with a definition, one that starts with it. */
export interface SubmitOperation {
  readonly do: 'submit'
  readonly gid: Gid
  readonly transaction?: TransactionDefinition
  /** Answer when it has ended, or after this time with what there is then. Absent: when it is recorded. */
  readonly waitMs?: number
}

/** Decides that a transaction does not go forward. */
export interface AbortOperation {
  readonly do: 'abort'
  readonly gid: Gid
  readonly reason?: string
}

/** Adds a branch to a prepared transaction. The same branch again changes nothing. */
export interface RegisterBranchOperation {
  readonly do: 'registerBranch'
  readonly gid: Gid
  readonly mode: TransactionMode
  readonly branch: BranchDefinition
  /**
   * Branches whose actions this client has seen end. They happened before what it registers here, which is undone before
   * them; whatever is not named is undone side by side. Names of which the relay knows nothing say nothing.
   */
  readonly ended?: readonly string[]
}

/** Asks what became of a transaction. */
export interface QueryOperation {
  readonly do: 'query'
  readonly gid: Gid
  /** As of {@link SubmitOperation}. */
  readonly waitMs?: number
}

/** What can be asked of the relay's transactions. */
export type TransactionOperation =
  | PrepareOperation
  | SubmitOperation
  | AbortOperation
  | RegisterBranchOperation
  | QueryOperation

/**
 * Parses the body of a batch.
 * @throws `POSTCOMMIT_INVALID_REQUEST` naming the place. One operation that cannot be read refuses the whole batch:
 * its sender is of another version, and what else it meant is a guess.
 */
export function parseBatch(text: string): readonly TransactionOperation[] {
  try {
    const { operations } = readObject(readJson(text), '', ['operations'])
    return readList(operations, 'operations', [1, LIMITS.operationsPerBatch], readOperation)
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    throw new PostcommitError('POSTCOMMIT_INVALID_REQUEST', { reason: error.message })
  }
}

/**
 * Parses one operation.
 * @throws `POSTCOMMIT_INVALID_REQUEST` naming the place.
 */
export function parseOperation(value: unknown): TransactionOperation {
  try {
    return readOperation(value, '')
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    throw new PostcommitError('POSTCOMMIT_INVALID_REQUEST', { reason: error.message })
  }
}

const OPERATIONS = ['prepare', 'submit', 'abort', 'registerBranch', 'query'] as const

/** Reads one operation. */
export function readOperation(value: unknown, path: string): TransactionOperation {
  const fields = readObject(value, path)
  const kind = readWord(fields['do'], at(path, 'do'), OPERATIONS)
  const gid = readWith(at(path, 'gid'), () => parseGid(fields['gid'] as string))
  switch (kind) {
    case 'prepare':
      return readPrepare(value, path, gid)
    case 'submit':
      return readSubmit(value, path, gid)
    case 'abort': {
      const { reason } = readObject(value, path, ['do', 'gid', 'reason'])
      return withoutAbsent<AbortOperation>({
        do: kind,
        gid,
        reason: readOptional(reason, at(path, 'reason'), (text, where) =>
          readText(text, where, LIMITS.reasonCharacters),
        ),
      })
    }
    case 'registerBranch':
      return readRegisterBranch(value, path, gid)
    case 'query': {
      const { waitMs } = readObject(value, path, ['do', 'gid', 'waitMs'])
      return withoutAbsent<QueryOperation>({
        do: kind,
        gid,
        waitMs: readOptional(waitMs, at(path, 'waitMs'), readWaitMs),
      })
    }
  }
}

function readPrepare(value: unknown, path: string, gid: Gid): PrepareOperation {
  const { transaction } = readObject(value, path, ['do', 'gid', 'transaction'])
  const definition = readDefinition(transaction, at(path, 'transaction'))
  if (definition.mode === TransactionMode.Saga && definition.branches.length > 0) {
    throw new Unreadable(at(path, 'transaction.branches'), 'a saga whose branches are known is submitted at once')
  }
  if (definition.mode === TransactionMode.Msg && definition.backQuery === undefined) {
    // Nobody could ever say what became of it, and it may not be dropped.
    throw new Unreadable(at(path, 'transaction.backQuery'), 'a prepared message needs one')
  }
  return { do: 'prepare', gid, transaction: definition }
}

function readSubmit(value: unknown, path: string, gid: Gid): SubmitOperation {
  const { transaction, waitMs } = readObject(value, path, ['do', 'gid', 'transaction', 'waitMs'])
  const definition = readOptional(transaction, at(path, 'transaction'), readDefinition)
  if (definition?.branches.length === 0) throw new Unreadable(at(path, 'transaction.branches'), NO_BRANCHES.reason)
  return withoutAbsent<SubmitOperation>({
    do: 'submit',
    gid,
    transaction: definition,
    waitMs: readOptional(waitMs, at(path, 'waitMs'), readWaitMs),
  })
}

function readRegisterBranch(value: unknown, path: string, gid: Gid): RegisterBranchOperation {
  const fields = readObject(value, path, ['do', 'gid', 'mode', 'branch', 'ended'])
  const mode = readWord(fields['mode'], at(path, 'mode'), Object.values(TransactionMode))
  if (mode === TransactionMode.Msg) throw new Unreadable(at(path, 'mode'), 'the branches of a msg come with it')
  const branch = readBranch(fields['branch'], at(path, 'branch'))
  // A live saga runs its actions itself; only what undoes them is registered.
  const [problem] = mode === TransactionMode.Saga ? [] : branchProblems(mode, branch, at(path, 'branch'))
  if (problem !== undefined) throw new Unreadable(problem.path, problem.reason)
  return withoutAbsent<RegisterBranchOperation>({
    do: 'registerBranch',
    gid,
    mode,
    branch,
    ended: readOptional(fields['ended'], at(path, 'ended'), (names, where) =>
      readList(names, where, [0, LIMITS.branchesPerTransaction], readBranchName),
    ),
  })
}

function readWaitMs(value: unknown, path: string): number {
  return readInteger(value, path, 0, LIMITS.waitMs)
}
