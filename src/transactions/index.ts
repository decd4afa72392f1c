/** Transactions over several services, as they are written down. */
export type { ActionTarget, Target, TopicTarget } from '../protocol/target.ts'
export type {
  BranchDefinition,
  BranchOps,
  TransactionDefinition,
  TransactionOptions,
} from '../protocol/transaction-definition.ts'
export type { ActionAddress, Address } from './address.ts'
export {
  type CheckStep,
  type CommonStep,
  type PivotStep,
  type RetryOnlyStep,
  type SagaBuilder,
  type SagaStep,
  saga,
  type UndoableStep,
} from './saga.ts'
export { readSeadt, type SeadtOptions } from './seadt-json.ts'
