import { createHash } from 'node:crypto'
import { isMethod } from '../../coordinator/run/dtm-words.ts'
import { type StoredOptions, writeStoredOptions } from '../../coordinator/stored/stored-options.ts'
import { ASSUME_COMMITTED, laneOf, readStoredTarget } from '../../coordinator/stored/stored-target.ts'
import type { AddressRules } from '../../destinations/address-rules.ts'
import type { NewTransaction } from '../../store/transaction/insert-transactions.ts'
import type { OperationContent } from '../../store/transaction/transaction-row.ts'
import { type Orders, readDelay, readSagaCustom } from './custom-data.ts'
import { DtmError, notServed } from './dtm-error.ts'
import { readFields, type TransRequest } from './trans-request.ts'

/** What the relay of a DTM client is like. */
export interface HandInRules {
  readonly tenant: string
  /** Off: where DTM is less careful, so is this. */
  readonly strict: boolean
  /** Which addresses may be handed in at all. What a name leads to is seen when it is called. */
  readonly addresses: Pick<AddressRules, 'problemOf'>
}

const SECOND_MS = 1000
/** DTM's defaults, seconds. */
const DEFAULTS = { retryInterval: 10, requestTimeout: 3, timeoutToFail: 35 }
const BACK_OFF_CAP_MS = 10 * 60 * SECOND_MS
/** DTM repeats at once where there is a limit; this begins shorter than anybody notices. */
const LIMITED_BACK_OFF_MS = 200
const FOR_EVER_MS = 366 * 24 * 60 * 60 * SECOND_MS
const TOPIC = 'topic://'

/**
 * What a client of DTM hands in, as it is stored.
 * @throws DtmError.
 */
export function handInTrans(
  request: TransRequest,
  status: 'prepared' | 'submitted',
  rules: HandInRules,
): NewTransaction {
  const { gid, transType, queryPrepared, customData, options, protocol } = request
  if (transType !== 'msg' && transType !== 'saga') throw notServed(transType)
  const { strict, tenant, addresses } = rules
  const targets = request.steps.flatMap(({ action, compensate }) => [action, compensate])
  for (const target of [...targets, queryPrepared]) checkTarget(target, transType, addresses)
  if (protocol === 'json-rpc') checkParameters(request)
  if (strict && status === 'prepared' && transType === 'msg' && queryPrepared === '') {
    throw new DtmError('query_prepared is empty: the relay could not ask whether this message was committed')
  }
  const saga = transType === 'saga' ? readSagaCustom(customData, request.steps.length) : undefined
  const checkAfterMs = (options.timeoutToFail || DEFAULTS.timeoutToFail) * SECOND_MS
  return {
    tenant,
    gid,
    mode: transType,
    status,
    runBy: 'relay',
    dialect: 'dtm',
    protocol,
    digest: digestOf(request),
    ...checkOf(queryPrepared),
    options: writeStoredOptions(storedOptions(request, strict)),
    customData: customData === '' ? undefined : customData,
    seq: 0,
    deadlineInMs: transType === 'saga' && options.timeoutToFail > 0 ? options.timeoutToFail * SECOND_MS : undefined,
    dueInMs: status === 'submitted' ? 0 : checkAfterMs,
    askFromInMs: status === 'prepared' && transType === 'msg' ? checkAfterMs : undefined,
    operations: transType === 'saga' ? sagaOperations(request, saga) : messageOperations(request),
  }
}

/** The names of the topics that a message goes to. */
export function topicsOf({ transType, steps }: TransRequest): readonly string[] {
  if (transType !== 'msg') return []
  return steps.flatMap(({ action }) => (action.startsWith(TOPIC) ? [action.slice(TOPIC.length)] : []))
}

/** The branches of a message whose topics are read now, as DTM does, instead of when they run. */
export function frozenOperations(
  content: NewTransaction,
  targetsOf: ReadonlyMap<string, readonly string[]>,
): NewTransaction {
  const operations = content.operations.flatMap((operation) => {
    const targets = operation.target.startsWith(TOPIC) ? targetsOf.get(operation.target.slice(TOPIC.length)) : undefined
    if (targets === undefined) return [operation]
    return targets.map((target, index) => ({
      ...operation,
      target,
      branch: targets.length === 1 ? operation.branch : `${operation.branch}-${numbered(index)}`,
    }))
  })
  return { ...content, operations }
}

function checkTarget(target: string, mode: string, addresses: HandInRules['addresses']): void {
  if (target === '') return
  const route = readStoredTarget(target)
  if (route.kind === 'topic' && mode === 'msg') return
  if (route.kind !== 'url') throw new DtmError(`${target}: only http:// and https:// are called here`)
  checkAddress(route.url, addresses)
}

/** A method is given the payload as its parameters: DTM finds out at the call, and stands still there. */
function checkParameters({ steps, payloads }: TransRequest): void {
  for (const [index, { action, compensate }] of steps.entries()) {
    if (![action, compensate].some((target) => isMethod(readStoredTarget(target)))) continue
    try {
      readFields(JSON.parse(payloads[index] || '{}') as unknown)
    } catch {
      throw new DtmError(`payloads: number ${index + 1} is for a method, and not a JSON object`)
    }
  }
}

/** @throws DtmError if nothing is called there. */
export function checkAddress(url: URL, addresses: HandInRules['addresses']): void {
  const problem = addresses.problemOf(url)
  if (problem !== undefined) throw new DtmError(`${url.origin} is not called by this relay: ${problem}`)
}

function storedOptions({ options, customData, transType }: TransRequest, strict: boolean): StoredOptions {
  const { timeoutToFail, requestTimeout, retryInterval, retryLimit, branchHeaders, waitResult } = options
  const short = timeoutToFail > 0 && timeoutToFail < DEFAULTS.retryInterval ? timeoutToFail : DEFAULTS.retryInterval
  const intervalMs = (retryInterval || short) * SECOND_MS
  const isLimited = transType === 'saga' && retryLimit > 0
  const doubling = {
    // DTM doubles before it waits for the first time.
    baseMs: 2 * intervalMs,
    capMs: strict ? Math.max(BACK_OFF_CAP_MS, 2 * intervalMs) : FOR_EVER_MS,
  }
  const delayMs = transType === 'msg' ? readDelay(customData) * SECOND_MS : 0
  const saga = transType === 'saga' ? readSagaCustom(customData, Number.POSITIVE_INFINITY) : undefined
  return {
    requestTimeoutMs: (requestTimeout || DEFAULTS.requestTimeout) * SECOND_MS,
    retry: isLimited ? { baseMs: LIMITED_BACK_OFF_MS, capMs: intervalMs } : doubling,
    ongoingMs: intervalMs,
    ...(isLimited && { retryLimit, sharesRetryLimit: true }),
    ...((transType === 'msg' ? options.concurrent : saga?.concurrent) && { concurrent: true }),
    ...(Object.keys(branchHeaders).length > 0 && { headers: branchHeaders }),
    ...(delayMs > 0 && { delayMs }),
    ...(!strict && { lenient: true }),
    dtm: withoutZeros({
      wait_result: waitResult,
      timeout_to_fail: timeoutToFail,
      request_timeout: requestTimeout,
      retry_interval: retryInterval,
      branch_headers: branchHeaders,
      concurrent: options.concurrent,
      retry_limit: retryLimit,
    }),
  }
}

function withoutZeros(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) =>
      typeof value === 'object' ? Object.keys(value ?? {}).length > 0 : value,
    ),
  )
}

function checkOf(queryPrepared: string): Pick<NewTransaction, 'checkDestination' | 'checkTarget'> {
  if (queryPrepared === '') return { checkDestination: ASSUME_COMMITTED }
  return { checkDestination: laneOf(readStoredTarget(queryPrepared)) ?? '', checkTarget: queryPrepared }
}

function messageOperations({ steps, payloads }: TransRequest): readonly OperationContent[] {
  return steps.map(({ action }, index) => ({
    branch: numbered(index),
    op: 'action',
    target: action,
    ...payload(payloads, index),
  }))
}

/** In DTM's order, which its clients and its tables show: compensation first. */
function sagaOperations({ steps, payloads }: TransRequest, custom: Orders | undefined): readonly OperationContent[] {
  return steps.flatMap(({ action, compensate }, index): OperationContent[] => {
    const branch = numbered(index)
    const before = custom?.orders.get(index)?.map(numbered)
    const previous = custom?.concurrent === true || index === 0 ? [] : [numbered(index - 1)]
    const content = { branch, ...payload(payloads, index) }
    return [
      { ...content, op: 'compensate', target: compensate },
      { ...content, op: 'action', target: action, ...(before && { after: [...new Set([...previous, ...before])] }) },
    ]
  })
}

function payload(payloads: readonly string[], index: number): { readonly payload?: string } {
  const content = payloads[index] ?? ''
  // Without one the branch is called by GET.
  return content === '' ? {} : { payload: content }
}

function numbered(index: number): string {
  return String(index + 1).padStart(2, '0')
}

/** Of what is done, not of how: a client adds options between prepare and submit. */
function digestOf({ transType, protocol, steps, payloads }: TransRequest): string {
  return createHash('sha256')
    .update(JSON.stringify([transType, protocol, steps, payloads]))
    .digest('hex')
}
