import { BranchOp, LIMITS, TransactionMode, TransactionStatus } from 'postcommit/protocol'
import { z } from 'zod'

// What travels is read by the parsers of the protocol, which both sides share; these schemas say the same to those who
// read the document. A property test holds the two together.

export const Gid = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/)
  .meta({ id: 'Gid', description: 'Names a transaction, for its sender and for the relay.' })

const milliseconds = (least: number) => z.int().min(least).max(LIMITS.delayMs)
const line = (charactersMax: number) => z.string().min(1).max(charactersMax)
const branchName = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,128}$/)
  .describe('Names it within the transaction.')

const topicName = z.string().regex(/^[A-Za-z0-9_.-]{1,128}$/)

const Target = z
  .union([
    z.strictObject({ destination: z.string(), path: z.string() }),
    z.strictObject({ subject: z.string() }),
    z.strictObject({ url: z.string().max(LIMITS.urlCharacters) }),
  ])
  .meta({ id: 'Target', description: 'A configured destination with a path, a NATS subject, or an address.' })

const ActionTarget = z.union([Target, z.strictObject({ topic: topicName })]).meta({
  id: 'ActionTarget',
  description: 'A target, or a topic: all that have subscribed to it when the branch runs.',
})

const OPS = Object.values(BranchOp).map((op) => [op, (op === BranchOp.Action ? ActionTarget : Target).optional()])

const Mode = z.enum(Object.values(TransactionMode)).meta({ id: 'Mode' })
export const Status = z.enum(Object.values(TransactionStatus)).meta({ id: 'Status' })

const Branch = z
  .strictObject({
    branch: branchName,
    ops: z.strictObject(Object.fromEntries(OPS)),
    payload: z.string().optional().describe('What every op is sent: text, byte for byte.'),
    payloadBase64: z.string().optional().describe('The same for bytes.'),
    headers: z.record(z.string(), z.string()).optional(),
    after: z.array(branchName).max(LIMITS.branchesPerTransaction).optional().describe('What has to succeed before.'),
    retryOnly: z.boolean().optional().describe('It is repeated until it succeeds.'),
    leavesNothing: z.boolean().optional().describe('Its action leaves nothing that would have to be undone.'),
    key: line(LIMITS.keyCharacters).optional().describe('Ordering key.'),
    delayMs: milliseconds(0).optional().describe('Its action starts no sooner than this after the decision.'),
  })
  .meta({ id: 'Branch' })

const Definition = z
  .strictObject({
    mode: Mode,
    name: line(LIMITS.branchCharacters).optional().describe('What kind of transaction it is, for operators.'),
    branches: z.array(Branch).max(LIMITS.branchesPerTransaction),
    backQuery: z
      .strictObject({
        target: Target.describe('Whom to ask; a subject is one on which requests are answered.'),
        checkAfterMs: milliseconds(1).optional(),
        hint: line(LIMITS.hintCharacters).optional(),
      })
      .optional()
      .describe('Who can say what became of the local transaction of a prepared message.'),
    options: z
      .strictObject({
        timeoutMs: milliseconds(1).optional(),
        requestTimeoutMs: milliseconds(1).optional(),
        retry: z.strictObject({ baseMs: milliseconds(1), capMs: milliseconds(1) }).optional(),
        retryLimit: z.int().min(0).max(1_000_000).optional(),
        concurrent: z.boolean().optional(),
      })
      .optional(),
  })
  .meta({ id: 'Definition', description: 'A global transaction as it is written down.' })

const waitMs = z.int().min(0).max(LIMITS.waitMs).describe('Answer when it has ended, or after this time.')
/** What a person gives as a reason: it ends up in logs and tables. */
export const reasonText = line(LIMITS.reasonCharacters).regex(/^[^\p{Cc}\p{Surrogate}]*$/u)

export const PrepareBody = z.strictObject({ transaction: Definition })
export const SubmitBody = z.strictObject({ transaction: Definition.optional(), waitMs: waitMs.optional() })
export const AbortBody = z.strictObject({ reason: reasonText.optional() })
export const RegisterBranchBody = z.strictObject({
  mode: Mode,
  branch: Branch,
  ended: z
    .array(branchName)
    .max(LIMITS.branchesPerTransaction)
    .optional()
    .describe(
      'Branches whose actions have been seen to end: they happened before this one, which is undone before them.',
    ),
})
export const OutcomeQuery = z.strictObject({ waitMs: z.coerce.number().pipe(waitMs).default(0) })

const Operation = z
  .discriminatedUnion('do', [
    z.strictObject({ do: z.literal('prepare'), gid: Gid, ...PrepareBody.shape }),
    z.strictObject({ do: z.literal('submit'), gid: Gid, ...SubmitBody.shape }),
    z.strictObject({ do: z.literal('abort'), gid: Gid, ...AbortBody.shape }),
    z.strictObject({ do: z.literal('registerBranch'), gid: Gid, ...RegisterBranchBody.shape }),
    z.strictObject({ do: z.literal('query'), gid: Gid, waitMs: waitMs.optional() }),
  ])
  .meta({ id: 'Operation' })

export const Batch = z.strictObject({ operations: z.array(Operation).min(1).max(LIMITS.operationsPerBatch) })

export const Answer = z
  .discriminatedUnion('outcome', [
    z.object({ outcome: z.literal('done'), gid: Gid, status: z.literal('succeed') }),
    z.object({ outcome: z.literal('pending'), gid: Gid, status: z.enum(['prepared', 'submitted', 'aborting']) }),
    z.object({ outcome: z.literal('failed'), gid: Gid, status: z.literal('failed'), reason: z.string().optional() }),
  ])
  .meta({ id: 'Answer', description: 'Not ended, ended well, ended badly: three answers.' })

const Refusal = z
  .object({
    outcome: z.literal('refused'),
    gid: Gid,
    code: z.string(),
    message: z.string(),
    retryable: z.boolean(),
    status: Status.optional(),
  })
  .meta({ id: 'Refusal', description: 'It was not carried out, and changed nothing, unless it is retryable.' })

export const BatchAnswers = z.object({ results: z.array(z.union([Answer, Refusal])) })
