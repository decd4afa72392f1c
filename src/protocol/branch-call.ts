import { PostcommitError } from './errors.ts'
import { type Gid, parseGid } from './gid.ts'
import { ENVELOPE } from './headers.ts'
import { LIMITS } from './limits.ts'
import { BranchOp } from './transaction-state.ts'

/** The header that says what a branch is asked to do; gid and branch are in those of every message. */
export const OP_HEADER = 'postcommit-op'

/** Which op of which branch of which transaction a request is about. */
export interface BranchCall {
  readonly gid: Gid
  readonly branch: string
  readonly op: BranchOp
}

/** The parts of a request that name the branch; requests of `fetch`, of Node's server and deliveries fit. */
export interface BranchRequest {
  /** A `Headers`, or an object with names in lower case. */
  readonly headers?:
    | { get(name: string): string | null }
    | Readonly<Record<string, string | readonly string[] | undefined>>
  /** The URL or the path, with its query; or the query already parsed. */
  readonly url?: string | undefined
}

const BRANCH = new RegExp(`^[A-Za-z0-9_.-]{1,${LIMITS.branchCharacters}}$`)

/**
 * Reads which branch a request is for: from the headers of this project's relay, or from the query parameters that
 * DTM and its clients send (`gid`, `branch_id`, `op`).
 *
 * It believes the request: check its signature first where requests can come from elsewhere.
 * @throws `POSTCOMMIT_INVALID_BRANCH`, `POSTCOMMIT_INVALID_GID`.
 */
export function readBranchCall(request: BranchRequest): BranchCall {
  const own = {
    gid: readHeader(request, ENVELOPE.gid),
    branch: readHeader(request, ENVELOPE.branch),
    op: readHeader(request, OP_HEADER),
  }
  if (own.gid !== undefined) return parseBranchCall(own)
  const query = new URLSearchParams(/\?([^#]*)/.exec(request.url ?? '')?.[1])
  return parseBranchCall({
    gid: readParameter(query, 'gid'),
    branch: readParameter(query, 'branch_id'),
    op: readParameter(query, 'op'),
  })
}

/**
 * Parses what names a branch.
 * @throws `POSTCOMMIT_INVALID_BRANCH`, `POSTCOMMIT_INVALID_GID`.
 */
export function parseBranchCall(parts: {
  readonly gid: string | undefined
  readonly branch: string | undefined
  readonly op: string | undefined
}): BranchCall {
  const gid = parts.gid ?? invalid('it names no gid, neither in a header nor in its query')
  const branch = parts.branch ?? invalid('it names no branch')
  if (!BRANCH.test(branch)) invalid(`the branch is not 1 to ${LIMITS.branchCharacters} of A-Z a-z 0-9 _ . -`)
  if (parts.op === 'msg') invalid('it is a back-query, which preparedMessages() answers')
  const op = Object.values(BranchOp).find((known) => known === parts.op)
  return { gid: parseGid(gid), branch, op: op ?? invalid(`its op is none of ${Object.values(BranchOp).join(', ')}`) }
}

function readHeader({ headers }: BranchRequest, name: string): string | undefined {
  if (headers === undefined) return undefined
  if (typeof headers.get === 'function') return headers.get(name) ?? undefined
  const value = (headers as Readonly<Record<string, string | readonly string[] | undefined>>)[name]
  return typeof value === 'object' ? value.join(', ') : value
}

function readParameter(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name)
  // Two readers of such a request could each believe another one.
  if (values.length > 1) invalid(`${name} is given twice`)
  return values[0]
}

function invalid(reason: string): never {
  throw new PostcommitError('POSTCOMMIT_INVALID_BRANCH', { reason })
}
