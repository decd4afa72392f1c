import { setTimeout as sleep } from 'node:timers/promises'
import { DeliveryPostponed, DeliveryRefused } from 'postcommit/protocol'
import { describe, expect, test } from 'vitest'
import type { Delivery } from './destination.ts'
import type { DestinationCall } from './destination-call.ts'
import { createHandlerDestination, type Handler, type HandlerOptions } from './handler.ts'

const message: DestinationCall = {
  source: 'main',
  gid: 'g',
  mode: 'msg',
  branch: '1',
  number: 1,
  op: 'action',
  dialect: 'v1',
  target: '/welcome',
  key: undefined,
  content: '{}',
  headers: {},
  attempt: 1,
  timeoutMs: undefined,
  reads: 'status',
}
const never = new AbortController().signal
const call = (handle: Handler, options?: HandlerOptions) =>
  createHandlerDestination('mailer', handle, options).call(message, never)

describe('createHandlerDestination', () => {
  test('returning confirms', async () => {
    const seen: Delivery[] = []
    expect(await call(async (got) => seen.push(got))).toEqual({ kind: 'done' })
    const headers = { 'postcommit-gid': 'g', 'postcommit-branch': '1', 'postcommit-op': 'action' }
    const { source, gid, target, key, content, attempt } = message
    expect(seen).toEqual([{ source, gid, branch: 1, destination: 'mailer', target, key, content, headers, attempt }])
  })

  test('throwing means again later, at once or after a while', async () => {
    const thrown = { kind: 'unanswered', result: 'failed', error: 'no mail server' }
    expect(await call(() => Promise.reject(new Error('no mail server')))).toEqual(thrown)
    const throwsAtOnce: Handler = () => {
      throw new Error('no mail server')
    }
    expect(await call(throwsAtOnce)).toEqual(thrown)
    expect(await call(() => Promise.reject('no mail server'))).toEqual(thrown)
  })

  test('throwing DeliveryRefused means never', async () => {
    expect(await call(() => Promise.reject(new DeliveryRefused('unknown address')))).toEqual({
      kind: 'refused',
      error: 'unknown address',
    })
  })

  test('throwing DeliveryPostponed means after that pause, and burns no attempt', async () => {
    expect(await call(() => Promise.reject(new DeliveryPostponed(60_000, 'counting')))).toEqual({
      kind: 'postponed',
      error: 'counting',
      retryAfterMs: 60_000,
    })
  })

  test('a call that takes too long has failed, and is told so', async () => {
    let told = false
    const outcome = await call(
      (_, signal) => {
        signal.addEventListener('abort', () => {
          told = true
        })
        return new Promise(() => undefined)
      },
      { timeoutMs: 20 },
    )
    expect(outcome).toEqual({ kind: 'unanswered', result: 'failed', error: 'no result within 20 ms' })
    expect(told).toBe(true)
  })

  test('what a call that took too long throws later disturbs nobody', async () => {
    await call(
      async () => {
        await sleep(40)
        throw new Error('late')
      },
      { timeoutMs: 10 },
    )
    await sleep(60)
  })

  test('when the relay stops for good, the call is told and not waited for', async () => {
    const stopping = new AbortController()
    const signals: AbortSignal[] = []
    const destination = createHandlerDestination('mailer', (_, signal) => {
      signals.push(signal)
      return new Promise(() => undefined)
    })
    const outcome = destination.call(message, stopping.signal)
    stopping.abort()
    expect((await outcome).kind).toBe('unanswered')
    expect(signals.map(({ aborted }) => aborted)).toEqual([true])
  })
})
