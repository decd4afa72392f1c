/** Why a transaction was given up. */
export type Reason =
  | { readonly kind: 'asked'; readonly text: string }
  | { readonly kind: 'branch-failed'; readonly branch: string }
  | { readonly kind: 'retry-limit'; readonly branch: string; readonly limit: number }
  | { readonly kind: 'deadline' }
  | { readonly kind: 'rolled-back' }
  | { readonly kind: 'forced'; readonly text: string }

/**
 * A step of a transaction, to be written by one compare-and-set on `from`. These pairs are all there are; what an
 * operator forces is told apart, because it is audited and promises nothing about the branches.
 */
export type Transition =
  | { readonly from: 'none'; readonly to: 'prepared' | 'submitted' }
  | { readonly from: 'prepared'; readonly to: 'submitted' }
  | { readonly from: 'prepared'; readonly to: 'aborting' | 'failed'; readonly reason: Reason }
  | { readonly from: 'submitted'; readonly to: 'succeed' }
  | { readonly from: 'submitted'; readonly to: 'aborting'; readonly reason: Reason }
  | { readonly from: 'aborting'; readonly to: 'failed' }
  | ForcedTransition

/** What an operator imposes. */
export interface ForcedTransition {
  readonly from: 'prepared' | 'submitted' | 'aborting'
  readonly to: 'succeed' | 'failed'
  readonly forced: true
  readonly reason: Reason
}
