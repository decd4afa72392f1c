/** The SDK: what a service installs. */

export type { CacheWaited, Committed, Duplicated } from './commit/committed.ts'
export type { MessageDraft, MessageOptions, MessageSchemas } from './commit/message.ts'
export { type BranchDelivery, type BranchHandlerOptions, branchHandler } from './http/branch-handler.ts'
export { type DeliveryHandler, type HandlerOptions, handler, type InboxHandlerOptions } from './http/handler.ts'
export type { CallDelivery } from './http/read-call.ts'
export type { PayloadOptions } from './http/read-payload.ts'
export { createInbox, type Inbox, type InboxDelivery, type InboxOptions, type InboxResult } from './inbox/inbox.ts'
export type { InboxLimits } from './inbox/inbox-limits.ts'
export type { Invalidatable, InvalidationState } from './invalidation.ts'
export type { OutboxOptions } from './options.ts'
export { type CommitOptions, createOutbox, type Outbox } from './outbox.ts'
export { ERRORS, type ErrorCode, PostcommitError, type PostcommitErrorOptions } from './protocol/errors.ts'
export type { Gid } from './protocol/gid.ts'
export { DeliveryPostponed, DeliveryRefused } from './protocol/refusal.ts'
export type { ActionTarget, Target, TopicTarget } from './protocol/target.ts'
export type { TransactionAnswer } from './protocol/transaction-answer.ts'
export type {
  BranchDefinition,
  BranchOps,
  TransactionDefinition,
  TransactionOptions,
} from './protocol/transaction-definition.ts'
export type { TransactionMode } from './protocol/transaction-state.ts'
export type { Verdict } from './protocol/verdict.ts'
export {
  createRelayClient,
  type OperationOptions,
  type RegisterOptions,
  type RelayClient,
  type RelayClientOptions,
  type WaitOptions,
} from './relay-client/relay-client.ts'
export type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.ts'
export type { IsolationLevel } from './store/database.ts'
export type { DatabaseLike, TransactionOf } from './store/open-database.ts'
export { type BackQueryHandler, type BackQueryOptions, backQueryHandler } from './two-phase/back-query-handler.ts'
export type { PreparedMessages, PreparedMessagesOptions } from './two-phase/open-prepared-messages.ts'
