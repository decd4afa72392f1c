import { createHash } from 'node:crypto'
import type { ActionTarget, Target } from './target.ts'
import type { BranchOp, TransactionMode } from './transaction-state.ts'

/** What can be asked of a branch, and where. */
export type BranchOps = { readonly action?: ActionTarget } & Readonly<
  Partial<Record<Exclude<BranchOp, typeof BranchOp.Action>, Target>>
>

/** One branch of a global transaction as it is written down, on the wire and in a file alike. */
export interface BranchDefinition {
  /** Names it within the transaction: 1 to 128 of `A-Z a-z 0-9 _ . -`. */
  readonly branch: string
  readonly ops: BranchOps
  /** What every op of it is sent: JSON text, byte for byte. */
  readonly payload?: string
  /** The same for bytes: canonical base64. */
  readonly payloadBase64?: string
  readonly headers?: Readonly<Record<string, string>>
  /** The branches that have to succeed before this one starts. Absent: see {@link dependenciesOf}. */
  readonly after?: readonly string[]
  /** It is repeated until it succeeds, and so never makes the transaction fail. */
  readonly retryOnly?: boolean
  /** Its action leaves nothing behind that would have to be undone. */
  readonly leavesNothing?: boolean
  /** Ordering key: branches with the same key reach their destination in the order of their commits. */
  readonly key?: string
  /** Its action starts no sooner than this after the decision. */
  readonly delayMs?: number
}

/** The pause between attempts: doubling from `baseMs` up to `capMs`. */
export interface RetryPolicy {
  readonly baseMs: number
  readonly capMs: number
}

/** How a global transaction is carried out. */
export interface TransactionOptions {
  /** Time from its start after which it is undone, for modes that can be. */
  readonly timeoutMs?: number
  /** How long one call of a branch may take. */
  readonly requestTimeoutMs?: number
  readonly retry?: RetryPolicy
  /** After how many failed attempts of an action the transaction is undone. */
  readonly retryLimit?: number
  /** Branches without `after` start together. Absent or false: each after the one before it. */
  readonly concurrent?: boolean
}

/** Who can say what became of the local transaction of a prepared message. */
export interface BackQueryDefinition {
  /** A service that answers over HTTP, or a subject on which it answers requests of NATS. */
  readonly target: Target
  /** How long after the prepare it is asked for the first time. */
  readonly checkAfterMs?: number
  /**
   * Given back with the question, as it is. It names the attempt, not the message: it is not part of the digest. Whoever
   * gives one says that the local transaction has begun: then it may be asked for sooner, if others wait for it.
   */
  readonly hint?: string
}

/** A global transaction as it is written down. Plain JSON: what the builders make and the relay stores. */
export interface TransactionDefinition {
  readonly mode: TransactionMode
  /** For people: what kind of transaction it is. */
  readonly name?: string
  readonly branches: readonly BranchDefinition[]
  readonly backQuery?: BackQueryDefinition
  readonly options?: TransactionOptions
}

/**
 * What each branch waits for: what it names, or else nothing in a concurrent transaction and the branch before it in
 * any other. Both sides must agree on it, so it is here.
 */
export function dependenciesOf(definition: TransactionDefinition): ReadonlyMap<string, readonly string[]> {
  const concurrent = definition.options?.concurrent === true
  return new Map(
    definition.branches.map(({ branch, after }, index) => {
      const previous = definition.branches[index - 1]
      return [branch, after ?? (concurrent || previous === undefined ? [] : [previous.branch])]
    }),
  )
}

/**
 * What a definition stands for, as a SHA-256 in hex: the same gid with another digest is a conflict. It is taken of
 * what {@link readDefinition} gave, whose fields have one order.
 */
export function digestDefinition(definition: TransactionDefinition): string {
  const { mode, name, branches, backQuery, options } = definition
  // Named one by one, which is much cheaper than "all but"; the types say so if one is forgotten.
  const rest: AllOf<Omit<TransactionDefinition, 'backQuery'>> = { mode, name, branches, options }
  const { target, checkAfterMs } = backQuery ?? {}
  const asked: AllOf<Omit<BackQueryDefinition, 'hint'>> = { target, checkAfterMs }
  return createHash('sha256')
    .update(JSON.stringify([rest, asked]))
    .digest('hex')
}

type AllOf<T> = { readonly [Name in keyof Required<T>]: unknown }
