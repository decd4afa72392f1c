/** The SDK: what a service installs. */
export type { MessageDraft, MessageOptions, MessageSchemas } from './message.ts'
export type { OutboxOptions } from './options.ts'
export { type CommitOptions, type Committed, createOutbox, type Duplicated, type Outbox } from './outbox.ts'
export { ERRORS, type ErrorCode, PostcommitError, type PostcommitErrorOptions } from './protocol/errors.ts'
export type { Gid } from './protocol/gid.ts'
export type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.ts'
export type { IsolationLevel } from './store/database.ts'
export type { DatabaseLike, TransactionOf } from './store/open-database.ts'
