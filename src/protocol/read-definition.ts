import { definitionProblems } from './definition-problems.ts'
import { parseHeaders } from './headers.ts'
import { LIMITS } from './limits.ts'
import {
  at,
  readBoolean,
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
import { type ActionTarget, readActionTarget, readTarget } from './target.ts'
import type {
  BackQueryDefinition,
  BranchDefinition,
  RetryPolicy,
  TransactionDefinition,
  TransactionOptions,
} from './transaction-definition.ts'
import { BranchOp, TransactionMode } from './transaction-state.ts'

const BRANCH = /^[A-Za-z0-9_.-]+$/
const BRANCH_OPS = Object.values(BranchOp)
const MODES = Object.values(TransactionMode)

/** Reads the name of a branch. */
export function readBranchName(value: unknown, path: string): string {
  const name = readText(value, path, LIMITS.branchCharacters)
  if (!BRANCH.test(name)) throw new Unreadable(path, 'only A-Z a-z 0-9 _ . and - are allowed')
  return name
}

/**
 * Reads a {@link TransactionDefinition}: shape first, then the rules of its mode.
 * @throws Unreadable with the first thing that is wrong.
 */
export function readDefinition(value: unknown, path: string): TransactionDefinition {
  const fields = readObject(value, path, ['mode', 'name', 'branches', 'backQuery', 'options'])
  const definition = withoutAbsent<TransactionDefinition>({
    mode: readWord(fields['mode'], at(path, 'mode'), MODES),
    name: readOptional(fields['name'], at(path, 'name'), (name, where) =>
      readText(name, where, LIMITS.branchCharacters),
    ),
    branches: readList(fields['branches'], at(path, 'branches'), [0, LIMITS.branchesPerTransaction], readBranch),
    backQuery: readOptional(fields['backQuery'], at(path, 'backQuery'), readBackQuery),
    options: readOptional(fields['options'], at(path, 'options'), readOptions),
  })
  const [problem] = definitionProblems(definition)
  if (problem !== undefined) throw new Unreadable(at(path, problem.path), problem.reason)
  return definition
}

/** Reads a {@link BranchDefinition}. */
export function readBranch(value: unknown, path: string): BranchDefinition {
  const fields = readObject(value, path, BRANCH_FIELDS)
  if (fields['payload'] !== undefined && fields['payloadBase64'] !== undefined) {
    throw new Unreadable(path, 'it has both a payload and a payloadBase64')
  }
  return withoutAbsent<BranchDefinition>({
    branch: readBranchName(fields['branch'], at(path, 'branch')),
    ops: readOps(fields['ops'], at(path, 'ops')),
    payload: readOptional(fields['payload'], at(path, 'payload'), readPayloadText),
    payloadBase64: readOptional(fields['payloadBase64'], at(path, 'payloadBase64'), readPayloadBase64),
    headers: readOptional(fields['headers'], at(path, 'headers'), readHeaders),
    after: readOptional(fields['after'], at(path, 'after'), (names, where) =>
      readList(names, where, [0, LIMITS.branchesPerTransaction], readBranchName),
    ),
    retryOnly: readOptional(fields['retryOnly'], at(path, 'retryOnly'), readBoolean),
    leavesNothing: readOptional(fields['leavesNothing'], at(path, 'leavesNothing'), readBoolean),
    key: readOptional(fields['key'], at(path, 'key'), (key, where) => readText(key, where, LIMITS.keyCharacters)),
    delayMs: readOptional(fields['delayMs'], at(path, 'delayMs'), (ms, where) =>
      readInteger(ms, where, 0, LIMITS.delayMs),
    ),
  })
}

const BRANCH_FIELDS = [
  'branch',
  'ops',
  'payload',
  'payloadBase64',
  'headers',
  'after',
  'retryOnly',
  'leavesNothing',
  'key',
  'delayMs',
] as const

function readOps(value: unknown, path: string): BranchDefinition['ops'] {
  const fields = readObject(value, path, BRANCH_OPS)
  const ops: Partial<Record<BranchOp, ActionTarget>> = {}
  // In the order of the list, whatever that of the sender: the digest is taken of it.
  for (const op of BRANCH_OPS) {
    const target = fields[op]
    if (target === undefined) continue
    ops[op] = op === BranchOp.Action ? readActionTarget(target, at(path, op)) : readTarget(target, at(path, op))
  }
  return ops as BranchDefinition['ops']
}

function readOptions(value: unknown, path: string): TransactionOptions {
  const fields = readObject(value, path, ['timeoutMs', 'requestTimeoutMs', 'retry', 'retryLimit', 'concurrent'])
  return withoutAbsent<TransactionOptions>({
    timeoutMs: readOptional(fields['timeoutMs'], at(path, 'timeoutMs'), readTimeMs),
    requestTimeoutMs: readOptional(fields['requestTimeoutMs'], at(path, 'requestTimeoutMs'), readTimeMs),
    retry: readOptional(fields['retry'], at(path, 'retry'), readRetry),
    retryLimit: readOptional(fields['retryLimit'], at(path, 'retryLimit'), (n, where) =>
      readInteger(n, where, 0, 1_000_000),
    ),
    concurrent: readOptional(fields['concurrent'], at(path, 'concurrent'), readBoolean),
  })
}

function readRetry(value: unknown, path: string): RetryPolicy {
  const fields = readObject(value, path, ['baseMs', 'capMs'])
  const baseMs = readTimeMs(fields['baseMs'], at(path, 'baseMs'))
  return { baseMs, capMs: readInteger(fields['capMs'], at(path, 'capMs'), baseMs, LIMITS.delayMs) }
}

function readBackQuery(value: unknown, path: string): BackQueryDefinition {
  const fields = readObject(value, path, ['target', 'checkAfterMs', 'hint'])
  return withoutAbsent<BackQueryDefinition>({
    target: readTarget(fields['target'], at(path, 'target')),
    checkAfterMs: readOptional(fields['checkAfterMs'], at(path, 'checkAfterMs'), readTimeMs),
    hint: readOptional(fields['hint'], at(path, 'hint'), (hint, where) => readText(hint, where, LIMITS.hintCharacters)),
  })
}

function readTimeMs(value: unknown, path: string): number {
  return readInteger(value, path, 1, LIMITS.delayMs)
}

function readHeaders(value: unknown, path: string): Readonly<Record<string, string>> {
  const given = readObject(value, path) as Readonly<Record<string, string>>
  const headers = Object.entries(readWith(path, () => parseHeaders(given)))
  // In one order, because the digest is taken of it.
  return Object.fromEntries(headers.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function readPayloadText(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new Unreadable(path, 'not a string')
  if (Buffer.byteLength(value) > LIMITS.payloadBytesHard) {
    throw new Unreadable(path, `it has more than ${LIMITS.payloadBytesHard} bytes`)
  }
  // PostgreSQL refuses the first and silently replaces the second.
  if (/[\0\p{Surrogate}]/u.test(value)) throw new Unreadable(path, 'it has NUL characters or lone surrogates')
  // It is sent as application/json. Empty: no content.
  if (value !== '') readWith(path, () => readJson(value))
  return value
}

function readPayloadBase64(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new Unreadable(path, 'not a string')
  const bytes = Buffer.from(value, 'base64')
  if (bytes.toString('base64') !== value) throw new Unreadable(path, 'not canonical base64')
  if (bytes.length > LIMITS.payloadBytesHard) {
    throw new Unreadable(path, `it has more than ${LIMITS.payloadBytesHard} bytes`)
  }
  return value
}
